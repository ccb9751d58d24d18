"""Tables on a terminal: no word is broken while columns can stand closer, wrap or be left out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from decimal import Decimal

import pytest
from launching import Terminal

from segengine.cli.layout import Cells, Layout, fit_columns, measure_cells
from segengine.cli.output import Column, make_value_column, print_table, show_numbers

NAME, TAGS, STATUS, COUNT, DUE = "Customers from California", "summer, cold brew", "Successful", "2,013", "2026-11-23"
COLUMNS = (
    Column("name", "segment"),
    Column("tags", "tags", optional=True),
    Column("status", "status"),
    Column("count", "members", right=True),
    Column("due", "next due", optional=True),
)


def table(width: int, monkeypatch: pytest.MonkeyPatch, columns: Sequence[Column] = COLUMNS) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "stdout", Terminal())
    print_table([{"name": NAME, "tags": TAGS, "status": STATUS, "count": COUNT, "due": DUE}], columns)
    printed = sys.stdout
    assert isinstance(printed, Terminal)
    return [line for line in printed.getvalue().splitlines() if line]


def test_columns_stay_as_they_are_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = table(120, monkeypatch)
    assert lines[-1] == f" {NAME}   {TAGS}   {STATUS}     {COUNT}   {DUE}"


def test_columns_move_closer_before_anything_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = [len(NAME), len(TAGS), len(STATUS), len("members"), len(DUE)]
    lines = table(sum(widths) + 2 * 4 + 2, monkeypatch)
    assert lines[-1] == f" {NAME}  {TAGS}  {STATUS}    {COUNT}  {DUE}"


def test_lines_break_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = table(74, monkeypatch)
    assert lines[2:] == [
        f" Customers from        {TAGS}  {STATUS}    {COUNT}  {DUE}",
        " California",
    ]


def test_columns_are_left_out_before_words_break(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = table(60, monkeypatch)
    assert [header in lines[0] for header in ("segment", "tags", "status", "members", "next due")] == [
        True,
        True,
        True,
        True,
        False,
    ]
    assert capsys.readouterr().err == "no room for next due: a wider terminal or -o json has them\n"
    assert STATUS in table(40, monkeypatch)[-2]
    assert capsys.readouterr().err == "no room for tags, next due: a wider terminal or -o json has them\n"


def test_a_pipe_leaves_nothing_out(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"name": NAME * 9, "tags": TAGS, "status": STATUS, "count": COUNT, "due": DUE}
    print_table([row], COLUMNS)
    captured = capsys.readouterr()
    assert "next due" in captured.out
    assert captured.err == ""


def test_times_break_before_words_do() -> None:
    assert fit_columns([Cells(16, 10), Cells(30, 30)], 45) == Layout(2, {0: 13, 1: 30})


def test_where_nothing_fits_words_break_from_the_widest_column_on() -> None:
    assert fit_columns([Cells(30, 30), Cells(5, 5)], 20) == Layout(2, {0: 13, 1: 5})
    assert fit_columns([Cells(3, 3)] * 9, 4).widths == dict.fromkeys(range(9), 1)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([Decimal("1894.40"), Decimal(168), None], ["1,894.40", "168.00", ""]),
        ([1979, 723], ["1979", "723"]),
        ([3.624125874125874, 0.5, -2.0], ["3.6241", "0.5000", "-2.0000"]),
        ([Decimal("1E+3"), Decimal(7)], ["1000", "7"]),
        ([0.0001, 12345.5], ["0.0001", "12345.5"]),
        ([float("inf"), 1.5], ["inf", "1.5"]),
        ([], []),
    ],
)
def test_numbers_of_a_column_have_as_many_digits(values: list[object], shown: list[str]) -> None:
    assert list(map(show_numbers(values), values)) == shown


def test_a_column_of_numbers_is_at_the_right() -> None:
    rows = [{"id": "a", "spend": Decimal("1000.50"), "is_new": True}, {"id": "b", "spend": None, "is_new": False}]
    columns = [make_value_column(name, rows) for name in rows[0]]
    assert [(column.right, column.show(rows[0][column.key])) for column in columns] == [
        (False, "a"),
        (True, "1,000.50"),
        (False, "true"),
    ]
    assert make_value_column("spend", rows[1:]).right is False


def test_wide_letters_take_two_places() -> None:
    assert measure_cells(["name", "顧客 一覧"]) == Cells(9, 4)
