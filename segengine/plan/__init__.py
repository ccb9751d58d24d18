"""What will run: normal form, shared scans, formulas on bitmaps, and explaining them. No engine, no numpy."""
