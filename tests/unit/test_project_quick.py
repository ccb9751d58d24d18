"""Quick segments as definitions, the attributes they can be of, and what rules call the columns of a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from segengine.demo.projects import copy_project
from segengine.errors import ConfigError, DefinitionError
from segengine.operations.describe_tables import describe_tables
from segengine.operations.quick_segment import draft_segment
from segengine.project.nodes import Plain
from segengine.project.problems import Problems
from segengine.project.profile_attributes import find_profile_attribute, list_profile_attributes
from segengine.project.project_file import Schema, Settings
from segengine.project.quick import Known, QuickSegment, list_source, propose_name, write_fields, write_value
from segengine.project.schema_lock import load_schema
from segengine.project.settings import load_settings
from segengine.project.ways import find_ways


def project(folder: Path, name: str) -> tuple[Settings, Schema]:
    copy_project(name, folder)
    settings = load_settings(folder)
    return settings, load_schema(settings, Problems())


@pytest.fixture
def contoso(tmp_path: Path) -> tuple[Settings, Schema]:
    return project(tmp_path, "contoso")


@pytest.fixture
def harbor(tmp_path: Path) -> tuple[Settings, Schema]:
    return project(tmp_path, "harbor_supply")


@pytest.mark.parametrize(
    ("operator", "values", "written"),
    [
        ("equals", ("California",), "California"),
        ("equals", ("Portland, Oregon",), "Portland, Oregon"),
        ("any_of", ("California,Nevada",), ["California", "Nevada"]),
        ("any_of", ("California", "New York"), ["California", "New York"]),
        ("any_of", ('California, "Washington, D.C."',), ["California", "Washington, D.C."]),
        ("any_of", ("",), [""]),
        ("matches", ("a{1,2}",), "a{1,2}"),
        ("begins_with", ("San", "Santa"), ["San", "Santa"]),
        ("between", ("1", "2"), ["1", "2"]),
        ("between", ("1,2",), ["1", "2"]),
        ("within_last", ("20 days",), "20 days"),
        ("within_last", ("20", "days"), "20 days"),
        ("month_of", ("december",), "december"),
        ("month_of", ("11,december",), ["11", "december"]),
        ("is_true", (), "true"),
        ("empty", (), "true"),
        ("empty", ("false",), "false"),
        ("not", ("High",), "High"),
    ],
)
def test_values_of_a_command_as_a_file_has_them(operator: str, values: tuple[str, ...], written: Plain) -> None:
    assert write_value(operator, values) == written


@pytest.mark.parametrize(
    ("operator", "values", "message"),
    [
        ("equals", (), "Operator equals needs a value. For example: equals California."),
        ("within_last", (), 'Operator within_last needs a value. For example: within_last "20 days".'),
        (
            "equals",
            ("New", "York"),
            'Operator equals takes one value; 2 are given: New, York. Text with blanks needs quotes: "New York". '
            "Several values: any_of New,York.",
        ),
    ],
)
def test_the_wrong_number_of_values(operator: str, values: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        write_value(operator, values)
    assert str(caught.value) == message


def test_the_definition_names_what_the_project_leaves_open(
    contoso: tuple[Settings, Schema],
) -> None:
    quick = QuickSegment("profiles", "state", "equals", ("Texas",), "Texans", output_table="T1", id="texas")
    assert write_fields(quick, Known(*contoso)) == {
        "kind": "segment",
        "name": "Texans",
        "id": "texas",
        "output_table": "T1",
        "where": {"state": {"equals": "Texas"}},
    }
    assert propose_name("home_store.city", "begins_with", ["San"]) == "home store city begins with San"


@pytest.mark.parametrize("name", ["churn.score", "score"])
def test_predictions_by_their_own_name(contoso: tuple[Settings, Schema], name: str) -> None:
    quick = QuickSegment("predictions", name, "at_least", ("0.8",), "At risk")
    assert write_fields(quick, Known(*contoso))["where"] == {"churn.score": {"at_least": "0.8"}}
    assert list(list_source("predictions", Known(*contoso))) == ["churn.score"]


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        ("predictions", "state", '"state" is no column of a prediction table. Known: churn.score.'),
        ("predictions", "churn.scor", '"churn.scor" is no column of a prediction table. Did you mean "churn.score"?'),
        (
            "measures",
            "LifetimeSpend",
            "No measure of profiles is applied yet, so there is none to make a segment of. "
            "Write one in a definition file and run `segengine apply`, or use --from profiles.",
        ),
    ],
)
def test_what_a_source_does_not_have(contoso: tuple[Settings, Schema], source: str, name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        write_fields(QuickSegment(source, name, "equals", ("1",), "A"), Known(*contoso))  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_no_prediction_tables(harbor: tuple[Settings, Schema]) -> None:
    with pytest.raises(ConfigError, match="No prediction table belongs to the profiles"):
        list_source("predictions", Known(*harbor))
    with pytest.raises(ConfigError, match="No prediction table belongs to the profiles"):
        write_fields(QuickSegment("predictions", "score", "equals", ("1",), "A"), Known(*harbor))


@pytest.mark.parametrize(
    ("name", "audience", "message"),
    [
        ("stat", "", '"stat" is no attribute: table "customers" has no column "stat". Did you mean "state"?'),
        ("home_store.town", "", '"home_store.town" is no attribute: table "stores" has no column "town".'),
        (
            "purchases.channel",
            "",
            '"purchases.channel": table "customers" has no relationship "purchases". '
            "Its rows are judged by a rule: `over: purchases`, `where: {channel: ...}`.",
        ),
        (
            "channel",
            "",
            '"channel" is no attribute: table "customers" has no column "channel". '
            'Table "purchases" has it: its rows are judged by a rule with `over: purchases`.',
        ),
        ("state", "customers", 'There is no audience "customers". Did you mean "customer"?'),
    ],
)
def test_unknown_attributes(contoso: tuple[Settings, Schema], name: str, audience: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_profile_attribute(*contoso, name, audience)
    assert str(caught.value).startswith(message)
    assert audience or str(caught.value).endswith(" `segengine schema show` lists what there is.")


def test_the_audience_that_has_the_attribute(harbor: tuple[Settings, Schema]) -> None:
    assert find_profile_attribute(*harbor, "role")[0] == "contact"
    assert find_profile_attribute(*harbor, "industry")[0] == "account"
    assert find_profile_attribute(*harbor, "account_id", "contact")[0] == "contact"
    with pytest.raises(ConfigError) as caught:
        find_profile_attribute(*harbor, "account_id")
    assert str(caught.value) == (
        '"account_id" is an attribute of the audiences "account" and "contact". '
        "Say which with --audience account or --audience contact."
    )
    quick = QuickSegment("profiles", "role", "equals", ("Buyer",), "Buyers")
    assert write_fields(quick, Known(*harbor))["audience"] == "contact"
    assert "account.industry" in list_profile_attributes(*harbor, "contact")


def test_unsupported_types(contoso: tuple[Settings, Schema]) -> None:
    settings, schema = contoso
    (settings.root / "schema.lock.yml").write_text(
        (settings.root / "schema.lock.yml").read_text().replace("  occupation: text", "  occupation: array")
    )
    schema = load_schema(settings, Problems())
    with pytest.raises(ConfigError) as caught:
        find_profile_attribute(settings, schema, "occupation")
    assert str(caught.value) == (
        '"occupation" cannot be used: its type is array. '
        "Read one of its fields as a column with `from:`, or give it another type in the source."
    )
    assert "occupation" not in list_profile_attributes(settings, schema, "customer")


@pytest.mark.parametrize(
    ("attribute", "operator", "values", "issue"),
    [
        ("stat", "equals", ("Texas",), 'SEG204 unknown-attribute: segment "A": "stat" is no attribute: table '),
        (
            "state",
            "equls",
            ("Texas",),
            'SEG205 unknown-operator: segment "A": there is no operator "equls". Did you mean',
        ),
        ("income", "contains", ("5",), 'SEG206 operator-type: segment "A": operator contains does not fit income'),
        ("income", "between", ("5",), "expected [from, to]"),
        ("income", "between", ("9", "5"), "income (decimal(12,2)) between [9, 5]: expected the smaller end first."),
        ("income", "equals", ("1,000",), "expected a number (write it without separators or units)."),
        ("email", "matches", ("(",), "SEG207 bad-value"),
        ("state", "equals", ("",), "a missing value is found with `empty: true`"),
        ("all", "equals", ("x",), "SEG203"),
    ],
)
def test_issues_are_those_of_files(
    contoso: tuple[Settings, Schema], attribute: str, operator: str, values: tuple[str, ...], issue: str
) -> None:
    with pytest.raises(DefinitionError) as caught:
        draft_segment(contoso[0], QuickSegment("profiles", attribute, operator, values, "A"))
    (found, *_) = caught.value.issues
    assert str(found).startswith("quick create: error ")
    assert issue in str(found)


def test_files_that_cannot_take_a_segment(contoso: tuple[Settings, Schema]) -> None:
    settings, _ = contoso
    everyone = QuickSegment("profiles", "state", "equals", ("Texas",), "Everyone")
    folder = settings.root / "definitions"

    def refusal(file: Path) -> str:
        with pytest.raises((ConfigError, DefinitionError)) as caught:
            draft_segment(settings, everyone, file)
        return str(caught.value)

    assert refusal(folder / "quick.txt").startswith("Definitions are read from .yml and .yaml files")
    assert refusal(folder / "none" / "quick.yml").startswith("There is no folder")
    assert 'The definition files have "Everyone" already, with the id "everyone": definitions/' in refusal(
        folder / "quick.yml"
    )
    (folder / "broken.yml").write_text("kind: [")
    assert "is not valid YAML" in refusal(folder / "broken.yml")
    assert draft_segment(settings, everyone, settings.root / "quick.yml").in_definitions is False


def test_what_rules_call_a_column(contoso: tuple[Settings, Schema]) -> None:
    ways = find_ways(contoso[0])
    names = {table: [(way.over, way.name("x")) for way in found] for table, found in ways.items()}
    assert names["customers"][:2] == [("", "x"), ("", "referred_by.x")]
    assert ("reviews", "author.x") in names["customers"]
    assert names["stores"][:2] == [("", "home_store.x"), ("purchases", "store.x")]
    assert names["products"] == [("purchases", "product.x"), ("reviews", "product.x")]
    assert names["purchases"] == [("purchases", "x")]
    assert names["churn"][0] == ("", "churn.x")


def test_what_rules_call_a_column_of_two_audiences(harbor: tuple[Settings, Schema]) -> None:
    ways = find_ways(harbor[0])
    on_profiles = {(way.audience, way.name("x")) for way in ways["accounts"] if not way.over}
    assert on_profiles == {("account", "x"), ("account", "parent.x"), ("contact", "account.x")}
    named = {(way.audience, way.via) for way in ways["opportunities"]}
    assert ("contact", "[contact]") in named
    assert ("account", "[contact, account]") in named
    assert {way.via for way in ways["orders"]} == {""}


def test_every_name_that_is_shown_is_one(contoso: tuple[Settings, Schema], tmp_path: Path) -> None:
    """Each column under the name it is shown with stands in a rule that has no issue."""
    settings, _ = contoso
    segments = []
    for view in describe_tables(settings):
        for column in view.columns:
            for way in view.ways:
                where = f"{{{way.name(column.name)}: {{empty: true}}}}"
                rule = f"rules: [{{over: {way.over}, where: {where}}}]" if way.over else f"where: {where}"
                segments.append(f"kind: segment\nname: S {len(segments)}\n{rule}\n")
    (settings.root / "definitions" / "shown.yml").write_text("---\n".join(segments))
    from segengine.operations.validate import validate_project

    assert len(segments) > 100
    assert [str(issue) for issue in validate_project(settings).issues if issue.place.file.endswith("shown.yml")] == []


def test_an_unknown_table(contoso: tuple[Settings, Schema]) -> None:
    with pytest.raises(ConfigError) as caught:
        describe_tables(contoso[0], ["store"])
    assert str(caught.value) == 'There is no table "store". Did you mean "stores"?'
