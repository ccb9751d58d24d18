"""Applied definitions that no longer fit the project stand among the others, without rules."""

from __future__ import annotations

import pytest

from segengine.errors import DefinitionError, Issue, Place
from segengine.project.broken import keep_broken
from segengine.project.catalogue import Catalogue, check_definitions
from segengine.project.definitions import read_definition
from segengine.project.model import Definition
from segengine.project.nodes import from_plain, parse_documents, to_plain
from segengine.project.problems import Problems
from segengine.project.schema_lock import load_schema
from segengine.project.settings import load_settings
from tests.unit.measured import SHOP

GOOD = "kind: segment\nname: Good\nwhere: everyone\n"
ORPHAN = "---\nkind: segment\nname: Orphan\ntype: static\nstate: inactive\ntags: [x]\nwhere: {in_segment: gone}\n"
CHILD = "---\nkind: segment\nname: Child\nwhere: {in_segment: orphan}\n"
MEASURE = "---\nkind: measure\nname: Lost\nper: customer\nover: gone\nvalue: {sum: amount}\n"
SPENDERS = "---\nkind: segment\nname: Spenders\nwhere: {'@lost': {at_least: 1}}\n"
CONSUMER = "---\nkind: consumer\nname: Tool\nuses: [gone]\n"


def check(text: str) -> tuple[Catalogue, list[Issue]]:
    """Check definitions as if they came from the registry, each with a place of its own."""
    settings, problems = load_settings(SHOP), Problems()
    definitions: list[Definition] = []
    for node in parse_documents(text, "")[0]:
        found = read_definition(node, "registry", problems)
        assert found is not None
        fields = from_plain(to_plain(found.fields), Place(f"registry:{found.id}@1"))
        definitions.append(Definition(found.kind, found.id, found.name, fields, "registry"))  # type: ignore[arg-type]
    return check_definitions(definitions, settings, load_schema(settings, problems), problems), problems.issues


def test_the_broken_have_a_cause_and_no_rules() -> None:
    catalogue = keep_broken(*check(GOOD + ORPHAN + CHILD + MEASURE + SPENDERS + CONSUMER))

    assert set(catalogue.evaluated) == {"good", "orphan", "child", "lost", "spenders"}
    assert set(catalogue.broken) == {"orphan", "lost", "spenders"}
    assert catalogue.broken["orphan"] == 'there is no segment "gone".'
    orphan = catalogue.segments["orphan"]
    assert (orphan.steps, orphan.type, orphan.state, orphan.tags) == ((), "static", "inactive", ("x",))
    assert catalogue.parents("child") == ("orphan",)
    assert catalogue.order.index("orphan") < catalogue.order.index("child")
    assert catalogue.consumers == {}
    assert all(catalogue.hashes[identity].data for identity in catalogue.order)


def test_what_was_deleted_is_called_by_its_name() -> None:
    both = (
        "---\nkind: segment\nname: Both\n"
        "rules: [{where: {in_segment: gone}}, {except: {where: {'@spent': {at_least: 1}}}}]\n"
    )
    deleted = {"gone": 'segment "Gone away"', "spent": 'measure "All spent"', "good2": 'segment "Unused"'}
    catalogue = keep_broken(*check(GOOD + ORPHAN + MEASURE + both), deleted)

    assert catalogue.broken["orphan"] == 'it uses segment "Gone away", which was deleted.'
    assert catalogue.broken["both"] == 'it uses segment "Gone away" and measure "All spent", which were deleted.'
    assert "deleted" not in catalogue.broken["lost"], "its table is gone"


def test_without_errors_nothing_changes() -> None:
    catalogue, issues = check(GOOD)
    assert keep_broken(catalogue, issues) == catalogue


def test_an_error_of_nobody_is_raised() -> None:
    catalogue, _ = check(GOOD)
    with pytest.raises(DefinitionError, match="no lock"):
        keep_broken(catalogue, [Issue(Place("schema.lock.yml"), "SEG106", "no-schema-lock", "there is no lock.")])


def test_broken_analyses_ask_nothing() -> None:
    suggestion = "---\nkind: suggestion\nname: Lost\nimprove: income\ninfluences: [gone]\ntype: static\ntags: x\n"
    insight = "---\nkind: insight\nname: Shared\noverlap: [good, gone]\n"
    catalogue = keep_broken(*check(GOOD + suggestion + insight), {"gone": 'segment "Gone away"'})

    assert set(catalogue.broken) == {"lost", "shared"}
    assert catalogue.broken["shared"] == 'it uses segment "Gone away", which was deleted.'
    lost, shared = catalogue.analyses["lost"], catalogue.analyses["shared"]
    assert (lost.kind, lost.type, lost.tags) == ("suggestion", "static", ("x",))
    assert shared.kind == "insight"
    assert catalogue.parents("lost") == catalogue.parents("shared") == ()
    assert all(catalogue.hashes[identity].data for identity in catalogue.order)
