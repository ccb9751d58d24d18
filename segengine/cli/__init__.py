"""The launcher. stdout is the result, stderr is everything else; every command is a thin layer over an operation."""
