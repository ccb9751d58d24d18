"""Accounts and contacts in one project: the link between them, who is asked, and how that is planned."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from segengine.operations.explain import explain_refresh
from segengine.plan.audiences import is_hidden, plan_run
from segengine.plan.refresh import AudiencePlan
from segengine.project.attributes import Path as RelationshipPath
from segengine.project.audiences import find_rows_path
from segengine.project.canonical import Hashes, hash_definitions
from segengine.project.catalogue import Catalogue, check_definitions
from segengine.project.definitions import read_definition
from segengine.project.model import InSegment, RowsRule, Segment
from segengine.project.names import is_slug
from segengine.project.nodes import parse_documents
from segengine.project.problems import Problems
from segengine.project.schema_lock import load_schema
from segengine.project.settings import PROJECT_FILE, load_settings
from segengine.project.walk import segment_leaves, segment_rules

TRADE = Path(__file__).parents[1] / "golden" / "definitions" / "account_segments"
SEGMENTS = """
kind: segment
name: Key accounts
audience: account
where: {employees: {at_least: 500}}
---
kind: segment
name: Key people
audience: contact
where: {all: [{role: Buyer}, {in_segment: Key accounts}]}
---
kind: segment
name: Buyers
audience: contact
rules:
  - over: orders
    rows: {at_least: 2}
    where: {amount: {at_least: 10}}
  - except:
      rules:
        - over: tickets
          via: contact
        - union: {where: {in_segment: Key people}}
---
kind: segment
name: Same buyers
audience: contact
rules: [{over: orders, rows: {at_least: 2}, where: {amount: {at_least: 10}}}]
---
kind: segment
name: Silent
audience: contact
rules: [{over: orders, rows: none}]
"""


def catalogue_of(text: str = SEGMENTS, folder: Path = TRADE) -> Catalogue:
    settings, problems = load_settings(folder), Problems()
    documents, issues = parse_documents(text, "a.yml")
    definitions = [found for node in documents if (found := read_definition(node, "a.yml", problems))]
    catalogue = check_definitions(definitions, settings, load_schema(settings, problems), problems)
    assert not [str(issue) for issue in [*issues, *problems.issues] if issue.level == "error"]
    return catalogue


def plans_of(*names: str, text: str = SEGMENTS) -> dict[str, AudiencePlan]:
    """Return the plans for some of the segments (none named: all) by audience, in the order they run."""
    catalogue = catalogue_of(text)
    due = {key: segment for key, segment in catalogue.segments.items() if not names or segment.name in names}
    return {plan.audience: plan for plan in plan_run(due, catalogue, 0)}


# ---- the project file


def test_the_only_relationship_is_the_link() -> None:
    settings = load_settings(TRADE)
    link = settings.audiences["contact"].account
    assert link is not None
    assert (link.audience, link.relationship.name, link.relationship.from_columns) == (
        "account",
        "company",
        ("company_id",),
    )
    assert settings.account_of("contact") == settings.audiences["account"]
    assert settings.account_of("account") is None


def test_one_of_several_relationships_is_named(tmp_path: Path) -> None:
    shutil.copytree(TRADE, tmp_path, dirs_exist_ok=True)
    file = tmp_path / PROJECT_FILE
    second = "relationships:\n  - {from: contacts.former_id, to: accounts, name: former}\n"
    text = file.read_text().replace("relationships:\n", second)
    file.write_text(text.replace("account: account}", "account: account, via: former}"))
    link = load_settings(tmp_path).audiences["contact"].account
    assert link is not None
    assert link.relationship.name == "former"


# ---- whose rows they are


@pytest.mark.parametrize(
    ("audience", "over", "via", "hops"),
    [
        ("contact", "orders", (), ["account"]),
        ("contact", "orders", ("account",), ["account"]),
        ("contact", "lines", (), ["order", "account"]),
        ("contact", "visits", ("guest",), ["guest"]),
        ("contact", "tickets", ("contact",), ["contact"]),
        ("contact", "tickets", ("account",), ["account"]),
        ("contact", "tickets", ("contact", "company"), ["contact", "company"]),
        ("contact", "contacts", ("company",), ["company"]),
        ("account", "contacts", (), ["company"]),
        ("account", "tickets", ("contact", "company"), ["contact", "company"]),
    ],
)
def test_paths_end_at_the_profile_or_its_account(
    audience: str, over: str, via: tuple[str, ...], hops: list[str]
) -> None:
    path = find_rows_path(load_settings(TRADE), audience, over, via)
    assert isinstance(path, RelationshipPath)
    assert [hop.relationship.name for hop in path.hops] == hops
    assert path.target == ("contacts" if hops[-1] == "contact" else "accounts")


# ---- plans


def test_accounts_come_first_and_answer_for_their_contacts() -> None:
    plans = plans_of()

    assert list(plans) == ["account", "contact"]
    account, contact = plans.values()
    hidden = [key for key in account.members if is_hidden(key)]
    assert [key for key in account.members if not is_hidden(key)] == ["key_accounts"]
    assert len(hidden) == 2, "Buyers and Same buyers ask the same"
    assert not any(map(is_slug, hidden)), "no segment of a user has such an id"
    assert contact.carried == ("key_accounts", *hidden)
    assert contact.stored == account.stored == account.carried == ()
    assert [scan.name for scan in account.scans] == ["accounts", "orders > account"]
    assert [scan.name for scan in contact.scans] == ["contacts", "tickets > contact"]


def test_what_is_asked_is_judged_whoever_is_due() -> None:
    plans = plans_of("Silent", "Key people")

    assert list(plans) == ["account", "contact"]
    assert [is_hidden(key) for key in plans["account"].members] == [True]
    assert plans["contact"].carried[0] == "key_accounts", "read from its current snapshot: it is not in the run"
    assert list(plans_of("Key people")) == ["contact"], "nothing to judge: no pass over accounts"
    assert list(plans_of("Key accounts")) == ["account"]


def test_two_audiences_of_one_account_share_a_question(tmp_path: Path) -> None:
    shutil.copytree(TRADE, tmp_path, dirs_exist_ok=True)
    file = tmp_path / PROJECT_FILE
    text = file.read_text().replace("tables:\n", "tables:\n  leads: {path: data/leads, key: lead_id}\n")
    text = text.replace("relationships:\n", "relationships:\n  - leads.account_id -> accounts\n")
    file.write_text(f"{text}  lead: {{table: leads, account: account}}\n")
    lock = tmp_path / "schema.lock.yml"
    lock.write_text(f"{lock.read_text()}leads: {{lead_id: text, account_id: text}}\n")
    leads = "---\nkind: segment\nname: Silent leads\naudience: lead\nrules: [{over: orders, rows: none}]\n"
    catalogue = catalogue_of(SEGMENTS + leads, tmp_path)
    due = {key: catalogue.segments[key] for key in ("silent", "silent_leads")}

    account, contact, lead = plan_run(due, catalogue, 0)

    assert (account.audience, contact.audience, lead.audience) == ("account", "contact", "lead")
    assert contact.carried == lead.carried == tuple(account.members)
    assert len(account.members) == 1


def test_stored_parents_of_both_audiences_are_told_apart() -> None:
    both = "name: Both\naudience: contact\nwhere: {any: [{in_segment: Key accounts}, {in_segment: Key people}]}\n"
    (plan,) = plans_of("Both", text=f"{SEGMENTS}---\nkind: segment\n{both}").values()
    assert (plan.stored, plan.carried) == (("key_people",), ("key_accounts",))


def test_the_definition_itself_keeps_its_rules() -> None:
    segment = catalogue_of().segments["buyers"]
    assert [isinstance(rule, RowsRule) for rule in segment_rules(segment.steps)] == [True, True, False]
    assert [leaf.segment_id for leaf in segment_leaves(segment.steps) if isinstance(leaf, InSegment)] == ["key_people"]


def test_explain_names_what_is_carried_over() -> None:
    account, contact = explain_refresh(load_settings(HARBOR))
    assert (account.audience, contact.audience) == ("account", "contact")
    assert (account.segment_count, contact.segment_count) == (10, 16)
    assert "a rule over orders > account, for Never bought electronics" in account.questions
    assert "Key accounts" in contact.carried
    assert "a rule over tickets > contact > account, for Colleagues of complainers" in contact.carried
    assert next(scan for scan in contact.scans if scan.table == "contacts").rule_count == 14
    orders = next(scan for scan in account.scans if scan.table == "orders")
    assert orders.rule_count == 7
    assert "orders" not in {scan.table for scan in contact.scans}


HARBOR = Path(__file__).parents[2] / "conf" / "harbor_supply"


# ---- values of the account's measures

MEASURES = """
kind: measure
name: Ordered
per: account
over: orders
values: {sum: {sum: amount}, first: {min: amount}}
---
kind: measure
name: Tickets per order
per: contact
over: tickets
via: contact
values: {tickets: {count: rows}, share: {expression: tickets / company.Ordered.sum}}
---
kind: measure
name: Spread
per: contact
value: {expression: company.Ordered.sum - company.Ordered.first}
---
kind: segment
name: Busy
audience: contact
where: {all: [{Tickets per order.share: {at_least: 2}}, {company.Ordered.sum: {at_least: 1}}]}
"""


def measure_plans(*names: str) -> dict[str, AudiencePlan]:
    catalogue = catalogue_of(MEASURES)
    due = {key: each for key, each in catalogue.evaluated.items() if each.name in names}
    return {plan.audience: plan for plan in plan_run(due, catalogue, 0)}


def test_a_value_of_the_account_is_asked_for_once() -> None:
    account, contact = measure_plans("Ordered", "Tickets per order", "Spread").values()
    assert [key for key in account.results if not is_hidden(key)] == ["ordered"]
    assert contact.carried_values == tuple(key for key in account.results if is_hidden(key))
    assert len(contact.carried_values) == 2, "two measures ask for the sum, one for the first"
    assert {key: len(hidden) for key, hidden in contact.asked.items()} == {"tickets_per_order": 1, "spread": 2}
    assert contact.carried == contact.stored_measures == account.stored_measures == ()
    assert [scan.name for scan in contact.scans] == ["contacts", "tickets > contact"], "accounts are never multiplied"


def test_a_value_of_an_account_that_is_not_due_comes_from_its_snapshot() -> None:
    account, contact = measure_plans("Spread").values()
    assert account.stored_measures == ("ordered",)
    assert [scan.name for scan in account.scans] == ["accounts"]
    assert contact.carried_values == tuple(account.results)


def test_what_a_stored_measure_asked_its_account_is_not_asked_again() -> None:
    """Busy reads both from snapshots: of the account only what its own condition says."""
    account, contact = measure_plans("Busy").values()
    assert contact.stored_measures == ("tickets_per_order",)
    assert contact.carried_values == ()
    assert len(contact.carried) == 1
    (hidden,) = account.segments.values()
    assert isinstance(hidden, Segment)
    assert (tuple(account.results), account.asked) == ((), {})


def test_explain_names_the_values_that_are_carried_over(tmp_path: Path) -> None:
    shutil.copytree(TRADE, tmp_path, dirs_exist_ok=True)
    for file in (tmp_path / "definitions").glob("*.yml"):
        file.unlink()
    (tmp_path / "definitions" / "measures.yml").write_text(MEASURES)
    account, contact = explain_refresh(load_settings(tmp_path), ["Spread", "Tickets per order"])
    assert account.questions == contact.carried
    assert set(contact.carried) == {
        "the value of Ordered.sum, for Tickets per order, Spread",
        "the value of Ordered.first, for Spread",
    }


# ---- hashes


def hashes_of(text: str, folder: Path = TRADE) -> dict[str, Hashes]:
    catalogue = catalogue_of(text, folder)
    return hash_definitions(
        catalogue.segments, {key: catalogue.parents(key) for key in catalogue.segments}, catalogue.settings
    )


def test_a_change_of_the_account_segment_changes_the_parents_hash_of_its_contacts() -> None:
    before, after = hashes_of(SEGMENTS), hashes_of(SEGMENTS.replace("at_least: 500", "at_least: 501"))
    assert before["key_people"].data == after["key_people"].data
    assert before["key_people"].parents != after["key_people"].parents
    assert before["silent"] == after["silent"]


def test_another_link_is_another_segment(tmp_path: Path) -> None:
    shutil.copytree(TRADE, tmp_path, dirs_exist_ok=True)
    file = tmp_path / PROJECT_FILE
    file.write_text(file.read_text().replace("contacts.company_id", "contacts.employer_id"))
    lock = tmp_path / "schema.lock.yml"
    lock.write_text(lock.read_text().replace("company_id", "employer_id"))
    before, after = hashes_of(SEGMENTS), hashes_of(SEGMENTS, tmp_path)
    assert {key for key in before if before[key].data != after[key].data} == {*before} - {"key_accounts"}
