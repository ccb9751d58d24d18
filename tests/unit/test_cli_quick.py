"""`quick` and `schema show` without an engine: what they ask for, refuse and print."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from launching import run

from segengine.cli.quick_questions import ask_for_the_rest
from segengine.demo.projects import copy_project
from segengine.project.quick import QuickSegment
from segengine.project.settings import load_settings


@pytest.fixture
def contoso(tmp_path: Path) -> Path:
    copy_project("contoso", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        ((), 2, "Missing: FIELD, OPERATOR, --name."),
        (("state", "equals", "Texas"), 2, "Missing: --name."),
        (("state", "equals", "Texas", "--nmae", "T"), 2, "No such option '--nmae'"),
        (("state", "equals", "Texas", "--name", "T", "-q"), 2, "No such option '-q'"),
        (("state", "equals", "--name", "T"), 2, "error: Operator equals needs a value."),
        (("stat", "equals", "Texas", "--name", "T"), 3, 'Did you mean "state"?'),
        (("income", "less_than", "-x5", "--name", "T"), 2, "No such option '-x5'"),
        (("income", "less_than", "much", "--name", "T"), 3, "SEG207 bad-value"),
        (("state", "equals", "Texas", "--name", "???"), 3, 'no id can be made from the name "???"'),
        (("state", "equals", "Texas", "--name", "T", "--id", "A b"), 3, 'id "A b" is not of the form'),
        (("state", "equals", "Texas", "--name", "T", "--output-table", "a b"), 3, 'output_table "a b" is not letters'),
        (("LifetimeSpend", "at_least", "1", "--from", "measures"), 2, "Missing: --name."),
        (("state", "equals", "T", "--name", "T", "--audience", "customers"), 2, 'There is no audience "customers".'),
        (("state", "equals", "T", "--name", "T", "--file", "a.txt"), 2, "Definitions are read from .yml"),
    ],
)
def test_create_refuses_before_an_engine_starts(
    contoso: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], code: int, message: str
) -> None:
    found, out, err = run(capsys, "quick", "create", *argv, "--conf", str(contoso))
    assert (found, out) == (code, "")
    assert message in err


def test_a_project_without_a_lock(contoso: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (contoso / "schema.lock.yml").unlink()
    code, _, err = run(capsys, "quick", "create", "state", "equals", "T", "--name", "T", "--conf", str(contoso))
    assert (code, "Run `segengine schema pull` first." in err) == (3, True)
    code, _, err = run(capsys, "schema", "show", "--no-samples", "--conf", str(contoso))
    assert (code, "Run `segengine schema pull` first." in err) == (3, True)


def answers(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def asked(contoso: Path, given: QuickSegment) -> QuickSegment:
    return ask_for_the_rest(load_settings(contoso), given)


def test_everything_is_asked_for(
    contoso: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, "stat", "home_store.city", "equal", "any_of", "Reno, San Diego", "")
    found = asked(contoso, QuickSegment("profiles", "", "", (), ""))
    name = "home store city any of Reno, San Diego"
    assert found == QuickSegment("profiles", "home_store.city", "any_of", ("Reno, San Diego",), name)
    captured = capsys.readouterr()
    assert captured.out == "", "questions go to stderr"
    assert 'Did you mean "state"?' in captured.err
    assert "begins_with  begins with this text" in captured.err
    assert "within_last" not in captured.err, "only operators that fit"


@pytest.mark.parametrize(
    ("operator", "lines", "values"),
    [
        ("between", ("80000", "50000", "50000", "80000"), ("50000", "80000")),
        ("at_least", ("much", "5"), ("5",)),
        ("empty", ("",), ("true",)),
    ],
)
def test_values_are_asked_for_until_they_fit(
    contoso: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    operator: str,
    lines: tuple[str, ...],
    values: tuple[str, ...],
) -> None:
    answers(monkeypatch, *lines)
    assert asked(contoso, QuickSegment("profiles", "income", operator, (), "A")).values == values
    assert ("Error: income (decimal(12,2))" in capsys.readouterr().err) == (operator != "empty")


def test_only_the_value_is_missing(contoso: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "20 days")
    found = asked(contoso, QuickSegment("profiles", "customer_since", "within_last", (), "Newcomers"))
    assert found.values == ("20 days",)
    answers(monkeypatch)
    assert asked(contoso, QuickSegment("profiles", "email_subscriber", "is_true", (), "A")).values == ()


def test_schema_show_needs_no_engine_without_samples(contoso: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "schema", "show", "--no-samples", "--conf", str(contoso))
    assert code == 0
    assert "customers: the profiles of audience customer, one row for each customer_id" in out
    assert "  on the profile: home_store.city\n  on rows: store.city with over: purchases" in out
    assert "churn: predictions, one row for each customer_id" in out
    assert "income                  decimal(12,2)   Yearly income in dollars" in out
    assert "on rows: product.name with over: purchases or reviews" in out
    assert re.search(r"^ text +equals, any_of, begins_with", out, re.MULTILINE)


def test_schema_show_as_data(contoso: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "schema", "show", "stores", "--no-samples", "-o", "json", "--conf", str(contoso))
    document = json.loads(out)
    (table,) = document["tables"]
    assert code == 0
    assert table["ways"][0] == {
        "audience": "customer",
        "over": "",
        "via": "",
        "prefix": "home_store.",
        "example": "home_store.city",
    }
    assert table["columns"][1] == {
        "name": "city",
        "in_rules": "home_store.city",
        "type": "text",
        "label": "",
        "usable": True,
        "samples": [],
    }
    assert document["operators"]["boolean"] == ["is_true", "is_false", "empty"]
    code, out, _ = run(capsys, "schema", "show", "stores", "--no-samples", "-o", "csv", "--conf", str(contoso))
    assert out.splitlines()[2] == "stores,city,home_store.city,,text,,[]"


def test_schema_show_of_accounts_and_contacts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy_project("harbor_supply", tmp_path)
    code, out, _ = run(capsys, "schema", "show", "--no-samples", "--conf", str(tmp_path))
    assert code == 0
    assert "on the profile: name (account), parent.name (account), account.name (contact)" in out
    assert "on rows: ordered_at with over: orders (account, contact)" in out
    assert "stage with over: opportunities, via: [contact] or [account] or [contact, account] (contact)" in out
