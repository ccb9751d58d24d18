"""The bitmap predicate index: Arrow batches in, bitmaps out. numpy and pyarrow only, the same on every engine."""
