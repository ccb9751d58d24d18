"""Quick segments on each engine: what profiles show is what rules find, and what is created is what was counted."""

from __future__ import annotations

import io
import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from launching import Terminal, run
from workspace import Workspace, read_rows

from segengine import Project
from segengine.engine.session import EngineSession, activate
from segengine.errors import ConfigError, DataContractError, DefinitionError
from segengine.operations.definition_plan import Action
from segengine.operations.describe_tables import describe_tables, read_samples
from segengine.operations.profile_attribute import AttributeProfile, profile_attribute
from segengine.operations.quick_segment import count_draft, draft_segment, record_draft
from segengine.project.project_file import Settings
from segengine.project.quick import QuickSegment

PROJECT = """
project: small
time_zone: America/New_York
tables:
  customers:
    path: data/customers
    key: customer_id
    at: joined_at
    columns:
      credit: {label: What we owe them}
      wall: {type: timestamp, zone: Asia/Tokyo}
      number: {type: integer}
      points: {type: text}
  stores: {path: data/stores, key: store_id}
  churn: {path: data/churn, key: customer_id, prediction: true}
relationships:
  - {from: customers.home_store_id, to: stores, name: home_store}
  - {from: churn.customer_id, to: customers, one_to_one: true}
audiences: {customer: {table: customers}}
"""
EVERYONE = "kind: segment\nname: Everyone\nwhere: everyone\n"
IDS = [f"C{number}" for number in range(1, 9)]
CUSTOMERS = pa.table(
    {
        "customer_id": IDS,
        "state": ["Ohio", "Ohio", "Texas", "Texas", "Texas", "", None, "Utah"],
        "email": [f"{name}@example.com" for name in "abcdefgh"],
        "happy": pa.array([True, True, None, False, True, None, True, False]),
        "stars": pa.array([5, 5, 1, None, 5, 3, 3, 3], pa.int32()),
        "credit": pa.array(
            [Decimal("1.10"), Decimal("2.5"), None, *[Decimal(n) for n in (3, 3, 4, 50, 6)]], pa.decimal128(10, 2)
        ),
        "kilos": pa.array([70.5, math.nan, None, math.inf, 70.5, -0.0, 0.0, 1e300]),
        "born": pa.array([date(1980, 1, 1), date(1980, 1, 1), None, *[date(year, 6, 1) for year in range(1990, 1995)]]),
        "joined_at": pa.array(
            [datetime(2026, 6, day, 3, 30, tzinfo=UTC) for day in range(1, 9)], pa.timestamp("us", tz="UTC")
        ),
        "wall": pa.array([datetime(2026, 7, 1, 9)] * 7 + [None], pa.timestamp("us")),
        "number": ["7", "07", "", None, "12", "12", " 12", "-1"],
        "points": pa.array([10, 10, 9, None, 9, 9, 8, 7], pa.int64()),
        "home_store_id": ["S1", "S1", "S2", "S9", None, "", "S1", "S2"],
    }
)
STORES = {"store_id": ["S1", "S2", "S3"], "city": ["Reno", "Boston", "Miami"]}
CHURN = {"customer_id": ["C1", "C3", "C9"], "score": [0.25, 0.75, 0.5]}


@pytest.fixture
def workspace(engine: EngineSession, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path, engine)
    workspace.set_up(PROJECT, {"customers": CUSTOMERS, "stores": STORES, "churn": CHURN}, EVERYONE)
    return workspace


def profile(workspace: Workspace, name: str, **options: object) -> AttributeProfile:
    with workspace.opened() as project:
        return profile_attribute(project, name, **options)  # type: ignore[arg-type]


def shown(found: AttributeProfile) -> tuple[list[tuple[str, int]], int, int, int]:
    values = [(value.value, value.count) for value in found.values]
    return values, found.missing_count, found.invalid_count, found.distinct_count


def quick(workspace: Workspace, *words: str, name: str, file: Path | None = None, record: bool = False) -> int:
    """Return the size of a quick segment, recorded or not."""
    with workspace.opened() as project:
        wanted = QuickSegment("profiles", words[0], words[1], words[2:], name)
        draft = draft_segment(project.settings, wanted, file)
        counted = count_draft(project, draft)
        if record:
            record_draft(project, draft)
        return counted.preview.member_count


def test_values_by_hand(workspace: Workspace) -> None:
    """NULL, NaN and empty text are missing, an infinite number is no value, values are those of the declared type."""
    assert shown(profile(workspace, "state")) == ([("Texas", 3), ("Ohio", 2), ("Utah", 1)], 2, 0, 3)
    assert shown(profile(workspace, "happy")) == ([("true", 4), ("false", 2)], 2, 0, 2)
    assert shown(profile(workspace, "stars")) == ([("1", 1), ("3", 3), ("5", 3)], 1, 0, 3)
    assert shown(profile(workspace, "kilos")) == ([("0", 2), ("70.5", 2), ("1e+300", 1)], 2, 1, 3)
    assert shown(profile(workspace, "number")) == ([("-1", 1), ("7", 2), ("12", 3)], 2, 0, 3)
    assert shown(profile(workspace, "points")) == ([("9", 3), ("10", 2), ("7", 1), ("8", 1)], 1, 0, 4)
    assert shown(profile(workspace, "wall")) == ([("2026-06-30 20:00:00", 7)], 1, 0, 1)
    assert shown(profile(workspace, "home_store.city")) == ([("Reno", 3), ("Boston", 2)], 3, 0, 2)
    assert shown(profile(workspace, "churn.score")) == ([("0.25", 1), ("0.75", 1)], 6, 0, 2)
    credit = profile(workspace, "credit")
    assert (credit.label, str(credit.type), credit.missing_share) == ("What we owe them", "decimal(10,2)", 0.125)
    assert dict(credit.percentiles) == {
        "min": "1.1",
        "5": "1.1",
        "25": "2.5",
        "50": "3",
        "75": "6",
        "95": "50",
        "max": "50",
    }
    assert profile(workspace, "born").percentiles["50"] == "1991-06-01"


def test_every_value_shown_is_what_a_rule_finds(workspace: Workspace, embedded: EngineSession) -> None:
    """A rule that asks for a shown value finds as many profiles, so does `empty` for the missing ones."""
    segments, expected = [], {}

    def add(where: str, count: int) -> None:
        segments.append(f"kind: segment\nname: S {len(segments)}\nwhere: {{{where}}}\n")
        expected[f"s_{len(segments) - 1}"] = count

    for name in ("state", "happy", "stars", "credit", "born", "number", "points", "wall", "home_store.city"):
        found = profile(workspace.on(embedded), name)
        add(f"{name}: {{empty: true}}", found.missing_count)
        for value in found.values:
            between = f"{{between: ['{value.value}', '{value.value}']}}"
            add(f"{name}: {between if name == 'wall' else repr(value.value)}", value.count)
    workspace.define("---\n".join([EVERYONE, *segments]))
    workspace.apply()
    report = workspace.refresh()
    counts = {run.segment_id: run.member_count for run in report.segments if run.segment_id in expected}
    assert counts == expected


@pytest.mark.before_the_engine
def test_more_than_ten_values(workspace: Workspace) -> None:
    ids = [f"C{number:03}" for number in range(200)]
    rows = {
        "customer_id": ids,
        "state": [f"state {number % 25 if number < 175 else 0:02}" for number in range(200)],
        "email": ids,
        "stars": pa.array(range(200), pa.int32()),
        "born": [date(1950 + number // 4, 1, 1) for number in range(200)],
    }
    others = [field for field in CUSTOMERS.schema if field.name not in rows]
    workspace.write_table(
        "customers",
        pa.table({**rows, **{field.name: pa.nulls(200, field.type) for field in others}}),
    )
    state = profile(workspace, "state")
    assert state.distinct_count == 25
    assert [(value.value, value.count) for value in state.values[:3]] == [
        ("state 00", 32),
        ("state 01", 7),
        ("state 02", 7),
    ]
    assert len(state.values) == 10
    assert shown(profile(workspace, "email")) == ([], 0, 0, 200)
    stars = profile(workspace, "stars")
    assert stars.values == ()
    assert list(stars.percentiles.values()) == ["0", "9", "49", "99", "149", "189", "199"]
    assert [(part.label, part.count) for part in stars.stretches[:2]] == [("0 to 49", 50), ("50 to 99", 50)]
    born = profile(workspace, "born")
    assert [(part.label, part.count) for part in born.stretches][:2] == [("1950 to 1959", 40), ("1960 to 1969", 40)]
    assert shown(profile(workspace, "credit")) == ([], 200, 0, 0)


@pytest.mark.before_the_engine
def test_as_of_an_earlier_day(workspace: Workspace) -> None:
    moment = datetime(2026, 6, 3, 12, tzinfo=UTC)
    assert profile(workspace, "state", as_of=moment).profile_count == 3


@pytest.mark.before_the_engine
def test_sources_that_are_not_as_they_should_be(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match='Did you mean "state"'):
        profile(workspace, "stat")
    workspace.write_table("stores", {"store_id": ["S1", "S1"], "city": ["Reno", "Elko"]})
    with pytest.raises(DataContractError, match='table "stores" has 1 duplicate key'):
        profile(workspace, "home_store.city")
    bad = CUSTOMERS.set_column(CUSTOMERS.schema.get_field_index("number"), "number", pa.array([*"1234567", "many"]))
    workspace.write_table("customers", bad)
    with pytest.raises(DataContractError) as caught:
        profile(workspace, "number")
    assert str(caught.value) == (
        '1 distinct value(s) of "number" cannot be read as integer. '
        "Correct the source, or declare another type in the project file."
    )
    workspace.write_table("customers", CUSTOMERS.drop_columns(["state"]))
    with pytest.raises(DataContractError, match='table "customers" no longer has column "state"'):
        profile(workspace, "state")


@pytest.mark.before_the_engine
def test_a_table_without_rows(workspace: Workspace) -> None:
    workspace.write_table("customers", CUSTOMERS.slice(0, 0))
    for name in ("state", "stars", "points", "happy"):
        assert shown(profile(workspace, name)) == ([], 0, 0, 0)


def test_a_quick_segment_is_counted_recorded_and_written(
    workspace: Workspace, embedded: EngineSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its registry entry and its file are the same, so that `apply` finds nothing to do."""
    workspace.apply()
    monkeypatch.setenv("SEGENGINE_AUTHOR", "ann")
    file = workspace.folder / "definitions" / "quick.yml"
    assert quick(workspace, "state", "any_of", "Texas,Utah", name="South west", file=file) == 4
    assert not file.exists()
    assert len(read_rows(workspace.warehouse / "definitions")) == 1, "counting records nothing"
    assert quick(workspace, "state", "any_of", "Texas,Utah", name="South west", file=file, record=True) == 4
    assert quick(workspace, "credit", "between", "2.5", "4", name="Some credit", file=file, record=True) == 4
    assert quick(workspace, "happy", "is_true", name="Happy", record=True) == 4

    rows = {row["id"]: row for row in read_rows(workspace.warehouse / "definitions")}
    assert [
        (rows[name]["version"], rows[name]["origin"], rows[name]["author"]) for name in ("south_west", "happy")
    ] == [
        (1, "command", "ann"),
        (1, "command", "ann"),
    ]
    assert rows["happy"]["file_fields"] is None
    assert rows["south_west"]["data_hash"]
    assert file.read_text() == (
        "kind: segment\nname: South west\nwhere:\n  state:\n    any_of: [Texas, Utah]\n"
        "---\nkind: segment\nname: Some credit\nwhere:\n  credit:\n    between: [2.5, 4]\n"
    )
    plan = workspace.plan()
    assert ({str(change.action) for change in plan.changes}, plan.has_changes) == ({"unchanged"}, False)
    workspace = workspace.on(embedded)
    workspace.refresh()
    assert sorted(workspace.members("South west")) == ["C3", "C4", "C5", "C8"]
    assert sorted(workspace.members("Some credit")) == ["C2", "C4", "C5", "C6"]
    assert sorted(workspace.members("Happy")) == ["C1", "C2", "C5", "C7"]
    assert len(workspace.apply(prune=True).of(Action.REMOVE)) == 0, "what a command made is not pruned"


@pytest.mark.before_the_engine
def test_a_taken_name_or_table_is_refused(workspace: Workspace) -> None:
    workspace.apply()
    quick(workspace, "state", "equals", "Ohio", name="Ohio", record=True)
    with pytest.raises(DefinitionError) as caught:
        quick(workspace, "state", "equals", "Ohio", name="Ohio")
    assert [(issue.place.file, issue.code) for issue in caught.value.issues] == [("quick create", "SEG401")]
    with workspace.opened() as project:
        wanted = QuickSegment("profiles", "state", "equals", ("Ohio",), "All of them", output_table="Everyone")
        draft = draft_segment(project.settings, wanted)
        with pytest.raises(DefinitionError, match='the output table "Everyone" is already that of "Everyone"'):
            record_draft(project, draft)
    assert len(read_rows(workspace.warehouse / "definitions")) == 2


@pytest.mark.before_the_engine
def test_the_python_api(workspace: Workspace) -> None:
    with activate(workspace.session):
        project = Project(workspace.folder, spark=workspace.session.spark, engine=_engine_of(workspace))
        assert project.profile("state").values[0].value == "Texas"
        counted = project.create_segment("churn.score", "at_least", "0.5", name="At risk", dry_run=True)
        assert (counted.preview.member_count, counted.preview.profile_count, counted.member_share) == (1, 8, 0.125)
        without_zone = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the mistake
        for ask in (
            lambda: project.profile("state", as_of=without_zone),
            lambda: project.members("Texans", at=without_zone),
            lambda: project.counts("Texans", at=without_zone),
            lambda: project.why("Texans", "c1", at=without_zone),
            lambda: project.values("Spend", at=without_zone),
        ):
            with pytest.raises(ConfigError, match="2026-01-01 00:00:00 has no time zone"):
                ask()
        project.create_segment("score", "at_least", "0.5", name="At risk", source="predictions")
        assert [summary.segment.name for summary in project.segments()] == ["At risk"]
        assert [view.name for view in project.tables(["stores"])] == ["stores"]


def _engine_of(workspace: Workspace) -> str:
    return "embedded" if workspace.session.kind == "embedded" else ""


@pytest.mark.before_the_engine
def test_samples(workspace: Workspace) -> None:
    """Up to three values of each column, as rules write them, without missing ones."""
    with workspace.opened() as project:
        views = {view.name: view for view in read_samples(project, describe_tables(project.settings))}
    samples = {column.name: column.samples for column in views["customers"].columns}
    assert samples["state"] == ("Texas", "Ohio", "Utah")
    assert samples["number"] == ("-1", "7", "12")
    assert samples["wall"] == ("2026-06-30 20:00:00",)
    assert samples["happy"] == ("false", "true")
    assert samples["kilos"] == ("0", "70.5", "1e+300")
    assert views["churn"].is_prediction
    assert views["customers"].relationships == {"home_store": "stores"}


# ---- the launcher, on the embedded engine: what it prints and asks


@pytest.fixture
def small(tmp_path: Path, embedded_engine: EngineSession, monkeypatch: pytest.MonkeyPatch) -> Settings:
    workspace = Workspace(tmp_path, embedded_engine)
    workspace.set_up(PROJECT, {"customers": CUSTOMERS, "stores": STORES, "churn": CHURN}, EVERYONE)
    workspace.apply()
    monkeypatch.setenv("SEGENGINE_CONF", str(tmp_path))
    with workspace.opened() as project:
        return project.settings


CREATE = ("quick", "create", "state", "equals", "Texas", "--name", "Texans")


def test_create_asks_on_a_terminal_alone(
    small: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, out, _ = run(capsys, *CREATE, "--as-of", "2026-06-30")
    assert code == 0
    assert out == (
        "kind: segment\nname: Texans\nwhere:\n  state: {equals: Texas}\n\n"
        "3 of 8 profiles (37.5 %) as of 2026-06-30 23:59; output table Texans\nnot created: say --yes\n"
    )
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    code, out, err = run(capsys, *CREATE)
    assert (code, "created" in out, err.endswith("canceled\n")) == (130, False, True)
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    code, out, err = run(capsys, *CREATE)
    assert (code, out.splitlines()[-1]) == (0, 'created segment texans "Texans"')
    assert "Create it?" in err
    code, out, err = run(capsys, *CREATE, "--yes")
    assert (code, 'the id "texans" is already that of "Texans" (registry:texans@1)' in err) == (3, True)


def test_create_as_json(small: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    file = small.root / "definitions" / "quick.yml"
    code, out, _ = run(capsys, *CREATE, "--yes", "--output-table", "T1", "--file", str(file), "-o", "json")
    segment = json.loads(out)["segment"]
    assert code == 0
    assert (segment["member_count"], segment["profile_count"], segment["member_share"]) == (3, 8, 0.375)
    assert (segment["id"], segment["output_table"], segment["created"]) == ("texans", "T1", True)
    assert "output_table: T1" in file.read_text()
    code, out, _ = run(capsys, "quick", "create", "stat", "equals", "x", "--name", "A", "-o", "json")
    assert (code, json.loads(out)["error"]["issues"][0]["code"]) == (3, "SEG204")
    code, _, err = run(capsys, "quick", "create", "state", "equals", "Ohio,Utah", "--name", "A")
    assert (code, 'note: "Ohio,Utah" is one value; for several write any_of' in err) == (0, True)


def test_profile_prints_and_gives_data(small: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "quick", "profile", "state")
    assert code == 0
    assert out.startswith("state: text, of 8 profiles of audience customer\n2 missing (25.0 %), 3 distinct values\n")
    assert " Texas          3   37.5 %   ██████████████████████████████\n" in out
    code, out, _ = run(capsys, "quick", "profile", "kilos")
    assert "1 infinite or out of range: segments that use kilos fail" in out
    code, out, _ = run(capsys, "quick", "profile", "credit", "-o", "json")
    found = json.loads(out)["profile"]
    assert (found["attribute"], found["type"], found["percentiles"]["50"]) == ("credit", "decimal(10,2)", "3")
    assert found["values"][0] == {"value": "1.1", "count": 1, "share": 0.125}
    code, out, _ = run(capsys, "quick", "profile", "state", "-o", "csv")
    assert out.splitlines()[:2] == ["what,value,to_below,count,share", "profiles,,,8,"]
    assert "value,Texas,,3,0.375" in out.splitlines()
    code, out, err = run(capsys, "quick", "profile", "stat", "-o", "json")
    assert (code, json.loads(out)["error"]["kind"]) == (2, "ConfigError")
    assert 'Did you mean "state"?' in err


def test_schema_show_prints_values(small: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "schema", "show", "stores")
    assert code == 0
    assert "home_store.city       text   Boston, Miami, Reno" in out
    assert run(capsys, "schema", "show", "store")[0] == 2
