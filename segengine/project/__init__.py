"""What users write: the project file, definitions, their types, operators and checks. No engine, no numpy."""
