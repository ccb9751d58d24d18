"""Suggestions and insights: what their definitions become, refer to, are hashed and ordered by."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from segengine.plan.audiences import is_hidden, plan_run, split_waves
from segengine.plan.costs import find_scan_users
from segengine.project.analysis import (
    ActivityQuestion,
    Analysis,
    DifferenceQuestion,
    OverlapQuestion,
    TargetQuestion,
)
from segengine.project.catalogue import Catalogue
from segengine.project.model import InSegment
from segengine.project.nodes import Plain
from segengine.project.problems import Problems
from segengine.project.references import refers_to, show_references, store_references
from segengine.project.schema_lock import load_schema
from segengine.project.settings import load_settings
from segengine.project.types import instant_of
from segengine.project.usage import make_usage_graph
from segengine.project.walk import depends_on_as_of, tables_read
from tests.unit.measured import SHOP, catalogue_of, read_catalogue

BASE = """
kind: measure
name: Spend
per: customer
over: purchases
value: {sum: amount}
---
kind: segment
name: Rich
where: {income: {at_least: 100}}
---
kind: segment
name: Young
where: {born: {on_or_after: 2000-01-01}}
---
kind: expansion
name: Like the rich
source: Rich
fields: [city]
---
"""
AS_OF = instant_of(datetime(2026, 7, 1, tzinfo=UTC))


def analyses_of(text: str) -> tuple[Catalogue, Analysis]:
    catalogue = catalogue_of(BASE + text)
    (analysis,) = catalogue.analyses.values()
    return catalogue, analysis


def test_a_target_and_its_influences() -> None:
    catalogue, analysis = analyses_of(
        "kind: suggestion\nname: A\nimprove: Spend\ninfluences: [state, {in_segment: Rich}, churn.score, state]\n"
        "of: young\ntype: static\ntags: [x]\nrefresh: {daily: ['02:00']}\n"
    )
    question = analysis.question
    assert isinstance(question, TargetQuestion)
    assert (question.target.name, question.target.parent, question.of) == ("Spend", "spend", "young")
    assert [field.name for field in question.influences] == ["state", "in Rich", "churn.score"]
    assert isinstance(question.influences[1].source, InSegment)
    assert (analysis.kind, analysis.type, analysis.tags, analysis.audience) == (
        "suggestion",
        "static",
        ("x",),
        "customer",
    )
    assert str(analysis.schedule).startswith("daily")
    assert catalogue.parents("a") == ("rich", "spend", "young")
    assert tables_read(analysis, catalogue.settings) == {"customers", "churn"}
    assert not depends_on_as_of(analysis)


def test_the_figures_of_an_activity() -> None:
    catalogue, analysis = analyses_of(
        "kind: suggestion\nname: A 1.5\nactivity: purchase\nperiod: {within_last: 12 months}\ndimensions: [recency]\n"
    )
    question = analysis.question
    assert isinstance(question, ActivityQuestion)
    assert (question.dimensions, question.of) == (("recency",), "")
    figures = question.figures
    assert is_hidden(figures.id)
    assert {value.name: str(value.type) for value in figures.shown_values} == {
        "recency": "timestamp",
        "frequency": "integer",
        "monetary": "decimal(38,2)",
    }
    assert figures.is_attribute
    assert catalogue.stored_measures == {"spend": catalogue.measures["spend"], figures.id: figures}
    assert catalogue.parents(analysis.id) == ()
    assert tables_read(analysis, catalogue.settings) == {"customers", "purchases"}
    assert depends_on_as_of(analysis)


def test_dimensions_are_those_the_activity_has_columns_for() -> None:
    _, analysis = analyses_of("kind: suggestion\nname: A\nactivity: purchase\n")
    assert isinstance(analysis.question, ActivityQuestion)
    assert analysis.question.dimensions == ("recency", "frequency", "monetary")
    assert analysis.question.figures.where is not None, "rows later than as_of do not count"


def test_differences_are_in_every_field_unless_some_are_chosen() -> None:
    _, analysis = analyses_of("kind: insight\nname: A\ndifferentiators: {of: Rich, against: everyone_else}\n")
    question = analysis.question
    assert isinstance(question, DifferenceQuestion)
    assert (question.of, question.against, question.is_every_field) == ("rich", "", True)
    names = [field.name for field in question.fields]
    assert {"state", "city", "income", "home_store.city", "Spend"} <= {*names}
    keys = ("customer_id", "home_store_id", "referred_by_id", "home_store.store_id", "churn.customer_id")
    assert {*keys}.isdisjoint(names)
    _, chosen = analyses_of("kind: insight\nname: A\ndifferentiators: {of: Rich}\nfields: [state, customer_id]\n")
    assert [field.name for field in chosen.question.fields] == ["state", "customer_id"]


def test_an_overlap_has_no_fields_unless_some_are_chosen() -> None:
    catalogue, analysis = analyses_of("kind: insight\nname: A\noverlap: [Rich, young]\n")
    assert analysis.question == OverlapQuestion(("rich", "young"), ())
    assert analysis.kind == "insight"
    assert [str(user) for user in make_usage_graph(catalogue).direct("young")] == ['insight "A"']


def test_an_overlap_is_of_at_most_64_segments() -> None:
    segments = "".join(f"kind: segment\nname: S{place}\nwhere: {{income: {place}}}\n---\n" for place in range(65))
    for count, errors in ((64, []), (65, ['SEG236: insight "A": overlap has 65 segment(s), expected 2 to 64. '])):
        names = ", ".join(f"S{place}" for place in range(count))
        assert read_catalogue(f"{segments}kind: insight\nname: A\noverlap: [{names}]\n")[1] == errors


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("improve: Spend\ninfluences: [state, city]", "influences: [city, state]\nimprove: '@spend'", True),
        ("improve: Spend\ninfluences: [state]", "improve: Spend\ninfluences: [city]", False),
        ("improve: Spend\ninfluences: [state]", "improve: income\ninfluences: [state]", False),
        ("improve: Spend\ninfluences: [state]", "improve: Spend\ninfluences: [state]\nof: Rich", False),
        ("activity: purchase\ndimensions: [recency, frequency]", "activity: purchase\ndimensions: [frequency, recency]",
         True),
        ("activity: purchase", "activity: purchase\ndimensions: [recency]", False),
        ("activity: purchase", "activity: purchase\nperiod: {within_last: 1 year}", False),
        ("activity: purchase", "activity: purchase\nof: Rich", False),
    ],
)  # fmt: skip
def test_hashes_of_suggestions(left: str, right: str, same: bool) -> None:
    hashes = [analyses_of(f"kind: suggestion\nname: A\n{text}\n")[0].hashes["a"].data for text in (left, right)]
    assert (hashes[0] == hashes[1]) is same


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("overlap: [Rich, Young]", "overlap: [young, rich]", True),
        ("overlap: [Rich, Young]", "overlap: [Rich, Young]\nfields: [state]", False),
        ("overlap: [Rich, Young]", "overlap: [Rich, Like the rich]", False),
        ("overlap: [Rich, Young]", "differentiators: {of: Rich, against: Young}\nfields: [state]", False),
        ("differentiators: {of: Rich}", "differentiators: {of: Rich, against: everyone_else}", True),
        ("differentiators: {of: Rich, against: Young}", "differentiators: {of: Young, against: Rich}", False),
    ],
)
def test_hashes_of_insights(left: str, right: str, same: bool) -> None:
    hashes = [analyses_of(f"kind: insight\nname: A\n{text}\n")[0].hashes["a"].data for text in (left, right)]
    assert (hashes[0] == hashes[1]) is same


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("{improve: Spend, influences: [state, Spend, {in_segment: Rich}], of: Rich}",
         "{improve: '@spend', influences: [state, '@spend', {in_segment: rich}], of: rich}"),
        ("{activity: Rich, of: Rich}", "{activity: Rich, of: rich}"),
        ("{differentiators: {of: Rich, against: everyone_else}, fields: [Spend]}",
         "{differentiators: {of: rich, against: everyone_else}, fields: ['@spend']}"),
        ("{overlap: [Rich, rich_2], fields: [state]}", "{overlap: [rich, rich_2], fields: [state]}"),
    ],
)  # fmt: skip
def test_references_are_kept_by_id(written: str, kept: str) -> None:
    kind = "suggestion" if "of: Rich}" in written and "diff" not in written else "insight"
    plain: dict[str, Any] = {"kind": kind, **yaml.load(written, yaml.BaseLoader)}  # noqa: S506 - text only
    expected: Plain = {"kind": kind, **yaml.load(kept, yaml.BaseLoader)}  # noqa: S506 - text only
    schema = load_schema(load_settings(SHOP), Problems())
    found = store_references(plain, {"Rich": "rich"}, {"Spend": "spend"}, schema)
    assert found == expected
    assert show_references(found, {"rich": "Rich", "spend": "Spend"}) == plain
    assert refers_to(found, "rich")


def test_an_analysis_comes_after_what_models_feed_it_and_its_figures_with_the_rules() -> None:
    catalogue = catalogue_of(
        BASE + "kind: insight\nname: Of rules\noverlap: [Rich, Young]\n---\n"
        "kind: insight\nname: Of models\noverlap: [Rich, Like the rich]\n---\n"
        "kind: suggestion\nname: Buying\nactivity: purchase\n"
    )
    waves = [set(wave) for wave in split_waves(catalogue.evaluated)]
    assert waves == [{"spend", "rich", "young", "like_the_rich", "of_rules", "buying"}, {"of_models"}]
    (plan,) = plan_run(catalogue.evaluated, catalogue, AS_OF)
    assert set(plan.members) == {"rich", "young"}
    assert set(plan.results) == {"spend", "@buying"}
    users = find_scan_users([plan])
    assert users["purchases > customer"] == {"spend", "buying"}, "one scan for the measure and the figures"
