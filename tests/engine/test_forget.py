"""`forget`: nothing is left of a person, and nobody else loses anything."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from erased import find_text
from workspace import Workspace, read_rows

from segengine.cli.main import main
from segengine.engine.session import EngineSession, activate
from segengine.errors import ConfigError
from segengine.models.overlap import Overlap
from segengine.operations.insights import describe_insight, write_insight_tables
from segengine.operations.measures import write_measure_tables
from segengine.operations.member_rows import write_member_rows
from segengine.operations.output_tables import write_output_tables
from segengine.operations.usage import register_consumer
from segengine.operations.why import explain_membership
from segengine.store.erasures import KeyedHash
from segengine.store.scores import ERASED
from segengine.store.warehouse import Warehouse, make_frame

GONE = "bob-7Q@example"
PROJECT = """
project: forgetting
suppress_key: FORGET_KEY
tables:
  customers: {path: data/customers, key: customer_id}
  orders: {path: data/orders, key: order_id}
  firms: {path: data/firms, key: firm_id}
  people: {path: data/people, key: customer_id}
relationships:
  - orders.customer_id -> customers
  - people.firm_id -> firms
audiences:
  customer: {table: customers}
  firm: {table: firms}
  person: {table: people, account: firm}
"""
DEFINITIONS = f"""
kind: segment
name: Everybody
audience: customer
where: everyone
attach: [{{over: orders, columns: [amount, referrer]}}]
---
{{kind: segment, name: Buyers, audience: customer, rules: [{{over: orders}}]}}
---
{{kind: segment, name: By name, audience: customer, where: {{customer_id: {{any_of: ["{GONE}", "ann"]}}}}}}
---
{{kind: segment, name: People, audience: person, where: everyone}}
---
{{kind: measure, name: Spend, per: customer, over: orders, value: {{sum: amount}}}}
---
{{kind: measure, name: Last referrer, per: customer, over: orders, value: {{arg_max: referrer, by: order_id}}}}
---
{{kind: measure, name: By channel, per: [customer, channel], over: orders, value: {{sum: amount}}}}
---
{{kind: measure, name: Referrals, per: [referrer], over: orders, value: {{count: rows}}}}
---
{{kind: measure, name: Referrers, per: business, over: orders, value: {{count_unique: referrer}}}}
"""
SHOP = """
tables: {customers: {path: data/customers, key: customer_id}}
audiences: {customer: {table: customers}}
"""
ANSWERED = """
{kind: segment, name: Everybody, where: everyone}
---
{kind: insight, name: Brought by whom, overlap: [Everybody, Everybody else], fields: [brought_by]}
---
{kind: segment, name: Everybody else, where: {not: {customer_id: ann}}}
"""
CUSTOMERS = ["ann", GONE, "cid", "dot"]
ORDERS = {
    "order_id": [1, 2, 3, 4],
    "customer_id": ["ann", GONE, GONE, "cid"],
    "amount": [10, 20, 30, 40],
    "channel": ["web", "web", "shop", "shop"],
    "referrer": [GONE, "cid", "cid", "dot"],
}
FIRST = datetime(2026, 6, 1, tzinfo=UTC)


def customers(ids: list[str]) -> dict[str, list[object]]:
    return {"customer_id": [*ids], "state": ["CA"] * len(ids)}


def without(columns: dict[str, list[object]], gone: str) -> dict[str, list[object]]:
    rows = [row for row in zip(*columns.values(), strict=True) if gone not in row]
    return {name: [row[place] for row in rows] for place, name in enumerate(columns)}


@pytest.fixture(scope="module")
def prepared(embedded: EngineSession, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project with two snapshots of everything, and all tables there can be."""
    workspace = Workspace(tmp_path_factory.mktemp("forgetting"), embedded)
    tables = {
        "customers": customers(CUSTOMERS),
        "orders": ORDERS,
        "firms": {"firm_id": ["f1"]},
        "people": {"customer_id": [GONE, "pat"], "firm_id": ["f1", "f1"]},
    }
    workspace.set_up(PROJECT, tables, DEFINITIONS)
    workspace.apply()
    for day in (FIRST, FIRST + timedelta(days=1)):
        workspace.refresh(as_of=day)
    with workspace.opened() as project:
        write_output_tables(project, ["Everybody", "Buyers", "People"])
        write_measure_tables(project)
        write_member_rows(project)
        register_consumer(project, "Mailer", ["Buyers"], link="https://mail.example")
        register_consumer(project, "Sales", ["People"])
    return workspace


@pytest.fixture
def workspace(prepared: Workspace, engine: EngineSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("FORGET_KEY", "a long random text")
    return prepared.copy_to(tmp_path).on(engine)


def leave_the_sources(workspace: Workspace) -> None:
    workspace.write_table("customers", customers([each for each in CUSTOMERS if each != GONE]))
    workspace.write_table("orders", without(ORDERS, GONE))


@pytest.mark.before_the_engine
def test_no_byte_is_left(workspace: Workspace) -> None:
    before = find_text(workspace.warehouse, GONE)
    assert {each.split("/")[0] for each in before} >= {"profile_keys", "output", "snapshots"}
    leave_the_sources(workspace)

    report = workspace.forget(GONE, audience="customer")
    workspace.maintain(retention=timedelta(0))

    assert report.was_known
    assert report.definitions == ("By name",)
    assert [str(each) for each in report.receivers] == ['consumer "Mailer"']
    left = find_text(workspace.warehouse, GONE)
    people = {"profile_keys", "output/People", "output/segment_members"}  # a person of another audience has this id
    assert {each.rsplit("/", 1)[0] for each in left} == {*people, "definitions"}
    rows = [row for table in people for row in read_rows(workspace.warehouse / table) if GONE in row.values()]
    assert len(rows) == 3
    assert {row.get("audience", "person") for row in rows} == {"person"}
    assert {row.get("segment_id", "people") for row in rows} == {"people"}

    report = workspace.forget(GONE, audience="person", suppress=True)
    workspace.maintain(retention=timedelta(0))
    assert [str(each) for each in report.receivers] == ['consumer "Sales"']
    left = find_text(workspace.warehouse, GONE)
    assert {each.split("/")[0] for each in left} == {"definitions"}, "which the report names"


@pytest.mark.before_the_engine
def test_answers_of_analyses_name_nobody(
    engine: EngineSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A field may say who brought a customer: whoever brought many is a value that answers show."""
    monkeypatch.setenv("FORGET_KEY", "a long random text")
    workspace = Workspace(tmp_path, engine)
    ids = [GONE, *(f"c{number}" for number in range(60))]
    bringers = [None, *(("c1", GONE, f'{GONE}.uk "quoted"')[number % 3] for number in range(60))]
    project = PROJECT.partition("tables:")[0] + SHOP
    workspace.set_up(project, {"customers": {"customer_id": ids, "brought_by": bringers}}, ANSWERED)
    workspace.apply()
    workspace.refresh(as_of=FIRST)
    with workspace.opened() as opened:
        write_insight_tables(opened)
    before = find_text(workspace.warehouse, GONE)
    assert {each.split("/")[0] for each in before} >= {"model_results", "output"}
    workspace.write_table("customers", {"customer_id": ids[1:], "brought_by": ["c1"] * 60})

    with activate(engine):
        assert main(["forget", GONE, "--yes", "--conf", str(workspace.folder)]) == 0
    workspace.maintain(retention=timedelta(0))

    assert "answers that said the id say (forgotten) now, but not what MLflow has of them" in capsys.readouterr().out
    (row,) = read_rows(workspace.warehouse / "model_results")
    assert GONE not in row["content"].replace(f"{GONE}.uk", "")
    with workspace.opened() as opened:
        found = describe_insight(opened, "Brought by whom").insight
    assert isinstance(found, Overlap)
    values = {value.cell.value: value.union_count for value in found.fields[0].values}
    assert values == {"c1": 20, ERASED: 20, f'{GONE}.uk "quoted"': 20, None: 1}, "what only begins like it stays"
    values_of_rows = {row["value"] for row in read_rows(workspace.warehouse / "output" / "BroughtByWhom")}
    assert GONE not in values_of_rows
    assert workspace.forget(GONE).answers == ()


@pytest.mark.before_the_engine
def test_everybody_else_stays(workspace: Workspace) -> None:
    leave_the_sources(workspace)
    spend = dict(workspace.values("Spend", limit=None))
    assert int(spend.pop(GONE)) == 50
    snapshots = {row["snapshot_version"]: row["member_count"] for row in workspace.published().of("everybody")}

    workspace.forget(GONE, audience="customer")

    others = [each for each in CUSTOMERS if each != GONE]
    assert dict(workspace.values("Spend", limit=None)) == spend
    assert sorted(workspace.members("Everybody", limit=None, snapshot=1)) == others
    assert sorted(workspace.members("People", limit=None)) == sorted([GONE, "pat"])
    channels = [(profile, channel, int(value)) for profile, channel, value in workspace.values("By channel")]
    assert channels == [("ann", "web", 10), ("cid", "shop", 40)]
    everybody = {row["customer_id"]: row["orders"] for row in read_rows(workspace.warehouse / "output/Everybody")}
    assert everybody == {
        "ann": [{"order_id": 1, "amount": 10, "referrer": None}],
        "cid": [{"order_id": 4, "amount": 40, "referrer": "dot"}],
        "dot": [],
    }
    assert sorted(row["customer_id"] for row in read_rows(workspace.warehouse / "output/Buyers")) == ["ann", "cid"]
    assert {row["member_count"] for row in workspace.published().of("everybody")} == {4}, "an anonymous bit"
    assert {row["snapshot_version"] for row in workspace.published().of("everybody")} == set(snapshots)

    workspace.refresh()
    assert workspace.published().members(only=["everybody"]) == {"everybody": others}
    assert workspace.published().of("everybody")[-1]["left_count"] == 1
    assert workspace.published().last_keys["customer"] == 4, "no key is given twice"


@pytest.mark.before_the_engine
def test_profiles_of_another_audience_with_the_same_key_keep_their_values(workspace: Workspace) -> None:
    people = {"customer_id": [GONE, "pat", "pia", "per"], "firm_id": ["f1"] * 4}
    workspace.write_table("people", people)
    workspace.define("{kind: measure, name: Firm of, per: person, value: {expression: firm_id}}", "measures.yml")
    workspace.apply()
    workspace.refresh()
    of_people = workspace.values("Firm of", limit=None)
    key = workspace.published().keys["customer"][GONE]
    assert key in workspace.published().keys["person"].values()
    assert len(of_people) == 4
    leave_the_sources(workspace)

    workspace.forget(GONE, audience="customer")

    assert workspace.values("Firm of", limit=None) == of_people


@pytest.mark.before_the_engine
def test_the_log_says_that_not_who(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_the_sources(workspace)
    monkeypatch.setenv("SEGENGINE_AUTHOR", "dpo")
    workspace.forget(GONE, audience="customer")
    run = workspace.published().runs[-1]
    assert (run["purpose"], run["author"], run["status"]) == ("forget", "dpo", "Successful")
    (erasure,) = read_rows(workspace.warehouse / "erasures")
    expected = hmac.new(b"a long random text", GONE.encode(), hashlib.sha256).hexdigest()
    assert (erasure["run_id"], erasure["profile_hash"]) == (run["run_id"], expected)
    assert GONE not in str(erasure) + str(run)


def test_kept_out_of_runs_as_of_a_time_before(workspace: Workspace, embedded: EngineSession) -> None:
    """A source that was restored brings nobody back into the past; a new row of today is a new customer."""
    leave_the_sources(workspace)
    workspace.forget(GONE, audience="customer")
    workspace.write_table("customers", customers(CUSTOMERS))
    others = [each for each in CUSTOMERS if each != GONE]

    report = workspace.refresh("Everybody", "Spend", as_of=FIRST + timedelta(days=2))
    assert (report.profile_count, report.segments[0].profile_count, report.segments[0].member_count) == (3, 3, 3)
    assert workspace.published().members(only=["everybody"]) == {"everybody": others}
    assert GONE not in workspace.published().keys["customer"]

    report = workspace.on(embedded).refresh("Everybody")
    assert (report.segments[0].profile_count, report.segments[0].member_count) == (4, 4)
    assert workspace.published().keys["customer"][GONE] == 5
    back = workspace.on(embedded).refresh("Everybody", as_of=FIRST + timedelta(days=3))
    assert (back.segments[0].profile_count, back.segments[0].member_count) == (3, 3), "also with the new key"


@pytest.mark.before_the_engine
def test_suppressed_for_ever(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match='Table "customers" still has a row of this customer') as caught:
        workspace.forget(GONE, audience="customer")
    assert "--suppress" in caught.value.hint
    assert GONE not in str(caught.value)
    assert {run.profile_count for run in workspace.refresh("Everybody", "Buyers", "Spend").segments} == {4}

    report = workspace.forget(GONE, audience="customer", suppress=True)

    assert (report.in_source, report.suppressed) == (True, True)
    others = [each for each in CUSTOMERS if each != GONE]
    for _ in range(2):
        found = workspace.refresh("Everybody", "Buyers", "Spend")
        assert {run.profile_count for run in found.segments} == {3}
        assert workspace.published().members(only=["everybody", "buyers"]) == {
            "everybody": others,
            "buyers": ["ann", "cid"],
        }
    assert set(dict(workspace.values("Spend", limit=None))) == set(others)
    with workspace.opened() as project, pytest.raises(ConfigError, match="newer than the last one, or was forgotten"):
        explain_membership(project, "Buyers", GONE)
    assert sorted(workspace.members("People", limit=None)) == sorted([GONE, "pat"]), "only of that audience"


@pytest.mark.before_the_engine
def test_secrets(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.forget(GONE, audience="customer", suppress=True)
    monkeypatch.setenv("FORGET_KEY", "another text")
    for attempt in (lambda: workspace.refresh("Everybody"), lambda: workspace.forget("ann", audience="customer")):
        with pytest.raises(ConfigError, match="The secret in FORGET_KEY is not the one") as caught:
            attempt()
        assert "another text" not in str(caught.value)
    monkeypatch.delenv("FORGET_KEY")
    with pytest.raises(ConfigError, match="environment variable FORGET_KEY, which `suppress_key` names, is not set"):
        workspace.refresh("Everybody")
    workspace.write_project(PROJECT.replace("suppress_key: FORGET_KEY", ""))
    with pytest.raises(ConfigError, match="names no secret"):
        workspace.forget("ann", audience="customer")
    workspace.write_project(PROJECT.replace("FORGET_KEY", "my secret text"))
    with pytest.raises(Exception, match="suppress_key is no name of an environment variable") as refused:
        workspace.refresh("Everybody")
    assert "my secret" not in str(refused.value)


@pytest.mark.before_the_engine
def test_whom_one_can_forget(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="not clear whose profiles") as caught:
        workspace.forget(GONE)
    assert caught.value.hint == "Say --audience customer|person."
    with pytest.raises(ConfigError, match="is of accounts, not of people"):
        workspace.forget("f1", audience="firm")
    with pytest.raises(ConfigError, match='no audience "custmer"'):
        workspace.forget(GONE, audience="custmer")
    assert not workspace.forget("nobody", audience="customer").was_known


@pytest.mark.before_the_engine
def test_interrupted_and_done_again(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key goes last: as long as it is there, everything can be found."""
    leave_the_sources(workspace)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("segengine.operations.forget.erase_profile_key", fail)
        with pytest.raises(KeyboardInterrupt):
            workspace.forget(GONE, audience="customer")
    assert workspace.forget(GONE, audience="customer").was_known
    workspace.forget(GONE, audience="person", suppress=True)
    workspace.maintain(retention=timedelta(0))
    assert {each.split("/")[0] for each in find_text(workspace.warehouse, GONE)} == {"definitions"}


@pytest.mark.over_connect
@pytest.mark.parametrize("secret", ["k", "x" * 64, "long " * 40])
def test_the_hash_is_hmac(engine: EngineSession, secret: str, tmp_path: Path) -> None:
    ids = ["", "1", "Grüße", "日本", "a" * 300, "x'y\"${z}"]
    keyed = KeyedHash(secret.encode())
    frame = make_frame(engine, "profile_id string", [{"profile_id": each} for each in ids])
    hashed = keyed.add_to(Warehouse(engine, str(tmp_path), is_catalog=False), frame).collect()
    found = {row["profile_id"]: row["profile_hash"] for row in hashed}
    assert found == {each: hmac.new(secret.encode(), each.encode(), hashlib.sha256).hexdigest() for each in ids}
    assert found == {each: keyed.of(each) for each in ids}


@pytest.mark.before_the_engine
def test_in_a_terminal(
    prepared: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORGET_KEY", "a long random text")
    workspace = prepared.copy_to(tmp_path)
    argv = ["forget", GONE, "--audience", "customer", "--conf", str(workspace.folder)]
    assert main(argv) == 2
    assert "still has a row of this customer" in capsys.readouterr().err
    assert main([*argv, "--suppress"]) == 2
    assert "say --yes" in capsys.readouterr().err
    assert main([*argv, "--suppress", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "the customer would be erased: its key, its values of measures, output/Buyers" in told
    assert "output/Everybody" in told
    assert "output/Referrals" not in told
    assert GONE in workspace.members("Everybody")
    assert main([*argv, "--suppress", "--yes", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)["forgotten"]
    assert (document["was_known"], document["suppressed"], document["dry_run"]) == (True, True, False)
    assert main([*argv, "--suppress", "--yes"]) == 0
    told = capsys.readouterr().out
    assert "no customer of this id was ever in a run" in told
    assert "may have copies, to be told: Mailer (consumer, https://mail.example)" in told
    assert "stay as they are: By name" in told
    assert GONE not in workspace.members("Everybody")
