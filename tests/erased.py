"""What is left of a text in a folder: in the bytes of its files, in what these mean, and in what is packed in them."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from segengine.engine.parts import unpack_rows


def find_text(folder: Path, text: str) -> list[str]:
    """Return the files below a folder that have a text in their bytes, or in what these mean."""
    return sorted(
        str(file.relative_to(folder))
        for file in folder.rglob("*")
        if file.is_file() and (text.encode() in file.read_bytes() or _is_in_parquet(file, text))
    )


def _is_in_parquet(file: Path, text: str) -> bool:
    if file.suffix != ".parquet":
        return False
    parquet = pq.ParquetFile(file)
    groups = (parquet.metadata.row_group(place) for place in range(parquet.metadata.num_row_groups))
    statistics = [group.column(place).statistics for group in groups for place in range(group.num_columns)]
    found = [str((each.min, each.max)) for each in statistics if each is not None and each.has_min_max]
    table = parquet.read()
    found.append(str(table.to_pylist()))
    if "content" in table.column_names and "kind" in table.column_names:
        kept = [row for row in table.to_pylist() if row["content"] and row["kind"] != "segment"]
        stored = [unpack_rows(row["content"]) for row in kept if row["kind"] == "measure"]
        buffers = [buffer for rows in stored for column in rows.columns for buffer in column.buffers() if buffer]
        found += [buffer.to_pybytes().decode(errors="replace") for buffer in buffers]
    return any(text in each for each in found)
