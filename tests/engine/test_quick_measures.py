"""Quick segments of measures on each engine: what their profiles show is what rules find."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from launching import Terminal, run
from workspace import Workspace, read_rows

from segengine import Project
from segengine.engine.session import EngineSession
from segengine.errors import ConfigError, DefinitionError
from segengine.operations.profile_attribute import AttributeProfile, profile_attribute
from segengine.operations.quick_segment import CountedDraft, count_draft, draft_segment, load_measures, record_draft
from segengine.project.quick import QuickSegment

PROJECT = """
project: shop
time_zone: Europe/Berlin
tables:
  customers: {path: data/customers, key: customer_id}
  purchases: {path: data/purchases, key: purchase_id}
relationships: [purchases.customer_id -> customers]
audiences: {customer: {table: customers}}
"""
DEFINITIONS = """
{kind: measure, name: Spend, per: customer, over: purchases, value: {sum: amount}}
---
kind: measure
name: Buying
per: customer
over: purchases
values:
  average: {average: amount}
  last: {max: bought_at}
  day: {max: bought_on}
  channel: {last: channel, by: bought_at}
  gift: {last: is_gift, by: bought_at}
---
{kind: measure, name: By channel, per: [customer, channel], over: purchases, value: {sum: amount}}
---
{kind: measure, name: Revenue, per: business, over: purchases, value: {sum: amount}}
"""
CUSTOMERS = {"customer_id": ["a", "b", "c", "d"], "income": [100, 10, None, 60]}
TIMES = [datetime(2025, 1, day, 23, 30, tzinfo=UTC) for day in (1, 2, 3, 4)]
PURCHASES = {
    "purchase_id": [1, 2, 3, 4],
    "customer_id": ["a", "a", "b", "c"],
    "amount": pa.array([Decimal("9.99"), Decimal("0.01"), Decimal(5), None], pa.decimal128(8, 2)),
    "channel": ["web", "store", "web", ""],
    "is_gift": [False, True, False, True],
    "bought_at": pa.array(TIMES, pa.timestamp("us", tz="UTC")),
    "bought_on": [date(2025, 1, 5), date(2025, 1, 2), None, date(2025, 1, 4)],
}
AS_OF = datetime(2025, 3, 1, 12, tzinfo=UTC)


def make_shop(folder: Path, engine: EngineSession) -> Workspace:
    workspace = Workspace(folder, engine)
    workspace.set_up(PROJECT, {"customers": CUSTOMERS, "purchases": PURCHASES}, DEFINITIONS)
    workspace.apply()
    return workspace


@pytest.fixture(scope="module")
def refreshed(embedded: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = make_shop(tmp_path_factory.mktemp("measures"), embedded)
    workspace.refresh(as_of=AS_OF)
    return workspace


@pytest.fixture
def shop(engine: EngineSession, refreshed: Workspace, tmp_path: Path) -> Workspace:
    return refreshed.copy_to(tmp_path).on(engine)


def profile(workspace: Workspace, name: str, **options: object) -> AttributeProfile:
    with workspace.opened() as project:
        return profile_attribute(project, name, **options)  # type: ignore[arg-type]


def shown(found: AttributeProfile) -> tuple[list[tuple[str, int]], int, int]:
    return [(value.value, value.count) for value in found.values], found.missing_count, found.profile_count


def quick(workspace: Workspace, *words: str, name: str = "Quick", record: bool = False) -> CountedDraft:
    with workspace.opened() as project:
        wanted = QuickSegment("measures", words[0], words[1], words[2:], name)
        draft = draft_segment(project.settings, wanted, applied=load_measures(project))
        counted = count_draft(project, draft, as_of=AS_OF)
        if record:
            record_draft(project, draft)
        return counted


@pytest.mark.over_connect
def test_values_of_every_type(shop: Workspace) -> None:
    spend = profile(shop, "Spend")
    assert shown(spend) == ([("0", 2), ("5", 1), ("10", 1)], 0, 4)
    assert (spend.name, spend.label, spend.audience, spend.as_of, spend.snapshot_version) == (
        "Spend",
        "",
        "customer",
        AS_OF,
        1,
    )
    assert spend.percentiles["50"] == "0"
    assert shown(profile(shop, "Buying.average")) == ([("5", 2)], 2, 4)
    assert shown(profile(shop, "Buying.last")) == (
        [("2025-01-03 00:30:00", 1), ("2025-01-04 00:30:00", 1), ("2025-01-05 00:30:00", 1)],
        1,
        4,
    )
    assert shown(profile(shop, "Buying.day")) == ([("2025-01-04", 1), ("2025-01-05", 1)], 2, 4)
    assert shown(profile(shop, "Buying.channel")) == ([("store", 1), ("web", 1)], 2, 4)
    assert shown(profile(shop, "Buying.gift")) == ([("true", 2), ("false", 1)], 1, 4)


@pytest.mark.before_the_engine
def test_only_the_profiles_of_the_run_count(shop: Workspace) -> None:
    """Who came later is not in a stored snapshot, who is gone is not in the next one."""
    shop.write_table("customers", {"customer_id": ["a", "c", "e"], "income": [1, 2, 3]})
    assert shown(profile(shop, "Spend")) == ([("0", 2), ("5", 1), ("10", 1)], 0, 4)

    later = AS_OF + timedelta(days=1)
    shop.refresh("Spend", as_of=later)

    found = profile(shop, "Spend")
    assert (shown(found), found.as_of, found.snapshot_version) == (([("0", 2), ("10", 1)], 0, 3), later, 2)
    earlier = profile(shop, "Spend", as_of=AS_OF)
    assert (shown(earlier)[2], earlier.snapshot_version) == (4, 1)
    with pytest.raises(ConfigError, match="has no snapshot that old"):
        profile(shop, "Spend", as_of=AS_OF - timedelta(days=1))


@pytest.mark.before_the_engine
def test_names_that_are_no_value_of_a_profile(engine: EngineSession, tmp_path: Path) -> None:
    workspace = make_shop(tmp_path, engine)

    def refusal(name: str) -> str:
        with pytest.raises(ConfigError) as caught:
            profile(workspace, name)
        return str(caught.value)

    assert refusal("Spend") == (
        'Measure "Spend" has no snapshot: it was never refreshed. Run `segengine refresh spend`.'
    )
    assert refusal("By channel") == (
        '"By channel" has a value for each channel: a profile has more than one. '
        "`segengine measures values by_channel` prints its values."
    )
    assert refusal("Revenue") == (
        '"Revenue" is a business measure: a profile has no value of it. '
        "`segengine measures values revenue` prints its values."
    )
    assert refusal("Buying").startswith('Measure "Buying" has several values. Name one: Buying.average, Buying.last')
    assert refusal("Buying.averge").endswith('has no value "averge". Did you mean "average"?')
    assert refusal("Spent").endswith('Did you mean "Spend"?')
    assert refusal("incom").endswith('Did you mean "income"? `segengine schema show` lists what there is.')
    assert shown(profile(workspace, "income"))[1:] == (1, 4), "attributes need no refresh"


@pytest.mark.before_the_engine
def test_stored_values_of_an_earlier_definition(shop: Workspace) -> None:
    shop.define(DEFINITIONS.replace("{sum: amount}", "{count: amount}"))
    shop.apply()
    with pytest.raises(ConfigError) as caught:
        profile(shop, "Spend")
    assert str(caught.value) == ('The values of "Spend" are of an earlier definition. Run `segengine refresh spend`.')


@pytest.mark.before_the_engine
def test_segments_of_measures(shop: Workspace) -> None:
    """What is counted is what is found, and what the registry keeps follows the measure's id."""
    assert quick(shop, "Buying.average", "empty").preview.member_count == 2
    assert quick(shop, "Buying.channel", "any_of", "web,store").preview.member_count == 2
    counted = quick(shop, "Spend", "at_least", "5", name="Spenders", record=True)
    assert (counted.preview.member_count, counted.preview.profile_count, counted.member_share) == (2, 4, 0.5)
    assert counted.draft.fields == {
        "kind": "segment",
        "name": "Spenders",
        "where": {"Spend": {"at_least": "5"}},
    }
    (row,) = [row for row in read_rows(shop.warehouse / "definitions") if row["id"] == "spenders"]
    assert json.loads(row["fields"])["where"] == {"@spend": {"at_least": "5"}}
    report = shop.refresh("Spenders", as_of=AS_OF)
    assert report.measures == (), "its stored values feed the segment"
    assert shop.members("Spenders") == ["a", "b"]


@pytest.mark.before_the_engine
def test_a_measure_without_good_values_is_evaluated_along(shop: Workspace) -> None:
    doubled = [None if value is None else value * 2 for value in PURCHASES["amount"].to_pylist()]  # type: ignore[attr-defined]
    shop.write_table("purchases", {**PURCHASES, "amount": pa.array(doubled, pa.decimal128(8, 2))})
    assert quick(shop, "Spend", "at_least", "15").preview.member_count == 0, "as stored"
    shop.define(
        DEFINITIONS.replace(
            "name: Spend, per: customer, over", "name: Spend, per: customer, where: {amount: {at_least: 1}}, over"
        )
    )
    shop.apply()
    assert quick(shop, "Spend", "at_least", "15").preview.member_count == 1, "the stored ones are of another definition"
    assert profile(shop, "Spend").snapshot_version == 1, "counting publishes nothing"


@pytest.mark.before_the_engine
def test_measures_that_are_no_source(engine: EngineSession, tmp_path: Path) -> None:
    workspace = make_shop(tmp_path, engine)
    assert quick(workspace, "Spend", "at_least", "5").preview.member_count == 2, "never refreshed: evaluated along"

    def refusal(*words: str) -> str:
        with pytest.raises((ConfigError, DefinitionError)) as caught:
            quick(workspace, *words)
        return str(caught.value)

    assert refusal("Spent", "at_least", "5") == 'There is no measure "Spent". Did you mean "Spend"?'
    assert refusal("income", "at_least", "5") == (
        '"income" is an attribute of the profiles, no measure. Use --from profiles.'
    )
    assert refusal("Revenue", "at_least", "5").startswith('"Revenue" is a business measure')
    assert "SEG206 operator-type" in refusal("Spend", "begins_with", "5")
    assert "SEG207 bad-value" in refusal("Spend", "at_least", "much")


# ---- the launcher, on the embedded engine: what it prints and asks


def test_the_launcher(
    tmp_path: Path,
    embedded_engine: EngineSession,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workspace = make_shop(tmp_path, embedded_engine)
    monkeypatch.setenv("SEGENGINE_CONF", str(tmp_path))
    code, _, err = run(capsys, "quick", "profile", "Spend")
    assert (code, "Run `segengine refresh spend`." in err) == (2, True)
    workspace.refresh(as_of=AS_OF)
    code, out, _ = run(capsys, "quick", "profile", "Spend")
    assert code == 0
    assert out.startswith(
        "Spend: decimal(38,2), of 4 profiles of audience customer, as of 2025-03-01 13:00 (snapshot 1)\n"
        "0 missing (0.0 %), 3 distinct values\n"
    )
    code, out, _ = run(capsys, "quick", "profile", "Buying.channel", "-o", "json")
    found = json.loads(out)["profile"]
    assert (found["attribute"], found["as_of"], found["snapshot_version"]) == (
        "Buying.channel",
        "2025-03-01T12:00:00Z",
        1,
    )
    assert (found["missing_count"], found["missing_share"]) == (2, 0.5)
    monkeypatch.setattr("sys.stdin", Terminal("Spend\nat_least\n5\nSpenders\ny\n"))
    code, out, err = run(capsys, "quick", "create", "--from", "measures", "--as-of", "2025-03-01")
    assert (code, out.splitlines()[-1]) == (0, 'created segment spenders "Spenders"'), err
    assert "2 of 4 profiles (50.0 %)" in out
    assert err.startswith("  Buying.average  decimal(38,8)\n")
    create = ("quick", "create", "Spent", "at_least", "5", "--name", "A", "--from", "measures")
    code, _, err = run(capsys, *create)
    assert (code, err) == (2, 'error: There is no measure "Spent".\nhint: Did you mean "Spend"?\n')


def test_the_python_api(tmp_path: Path, embedded_engine: EngineSession) -> None:
    workspace = make_shop(tmp_path, embedded_engine)
    workspace.refresh(as_of=AS_OF)
    project = Project(tmp_path, spark=embedded_engine.spark, engine="embedded")
    counted = project.create_segment("Spend", "at_least", "5", name="Spenders", source="measures", as_of=AS_OF)
    assert counted.preview.member_count == 2
    assert [summary.segment.name for summary in project.segments()] == ["Spenders"]
    assert project.profile("Buying.average").missing_share == 0.5
