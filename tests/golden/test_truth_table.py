"""The truth table of the operators, as the code makes it: `pytest tests/golden --update-golden` writes it."""

from __future__ import annotations

from pathlib import Path

from property.truth_table import make_truth_table

TABLE = Path(__file__).parent / "truth_table.md"


def test_truth_table_is_as_expected(tmp_path: Path, update_golden: bool) -> None:
    found = make_truth_table(tmp_path)
    if update_golden:
        TABLE.write_text(found, encoding="utf-8")
    assert found == TABLE.read_text(encoding="utf-8")
