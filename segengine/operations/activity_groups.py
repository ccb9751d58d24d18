"""Groups by activity: what each profile did, put into levels and counted in two passes over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from segengine.models.activity import Activity, Grouping, check_dimensions, cut_levels, describe_groups
from segengine.models.activity_rules import ActivityRows, write_activity_rules
from segengine.models.cards import describe_activity_group
from segengine.models.cells import PARTS, CellCounter, FieldCounts, tally_counts
from segengine.models.findings import Findings, Proposal
from segengine.models.levels import Dimension, end_on_days
from segengine.operations.model_run import ModelRun
from segengine.operations.proposed_rules import write_steps_rule
from segengine.operations.scope import Scope, open_scope
from segengine.project.analysis import ActivityQuestion, Analysis
from segengine.project.attributes import Aggregate, Attribute
from segengine.project.fixed_times import write_fixed_times
from segengine.project.measure import Measure, MeasureValue
from segengine.project.measure_names import list_value_attributes
from segengine.project.nodes import Plain, to_plain
from segengine.project.types import instant_of

_ENOUGH = 10_000  # profiles with activity that a sample has at least, where there are so many


@dataclass(frozen=True)
class _Figure:
    """A value of the figures: what it is called to readers, and as an attribute of the profiles."""

    name: str
    value: MeasureValue
    attribute: Attribute


def group_by_activity(run: ModelRun, analysis: Analysis, question: ActivityQuestion) -> Findings:
    """Return the groups that profiles make by an activity.

    Raises:
        ConfigError: There are too few profiles, or a dimension has no order.
        DataContractError: A value is none of its type, or has too many digits.
        RunError: The engine failed.
    """
    zone = run.catalogue.settings.time_zone
    figures = _name_figures(run, analysis, question.figures)
    scope = open_scope(run, question.of, {each.name: each.attribute for each in figures.values()})
    fields = {name: scope.fields[each.name] for name, each in figures.items()}
    dimensions = tuple(Dimension(name, fields[name]) for name in question.dimensions)
    check_dimensions(dimensions)
    activity = Activity(dimensions, fields["frequency"], fields.get("monetary"))
    result = describe_groups(*_count(scope, activity, zone))
    rows = _find_rows(run, analysis, question.figures, figures)
    proposals = []
    for group in result.groups:
        steps = write_activity_rules(group, rows, zone) if rows else None
        rule = write_steps_rule(steps, question.of, run.catalogue) if steps else None
        card = describe_activity_group(group, analysis.name, zone)
        proposals.append(Proposal(card, group.member_count, group.member_count / scope.profile_count, rule))
    return Findings(result, tuple(proposals), question.of)


def _name_figures(run: ModelRun, analysis: Analysis, figures: Measure) -> dict[str, _Figure]:
    """Return the figures by the name of their dimension, called as rules would: `max of purchased_at`."""
    table = run.catalogue.settings.audiences[analysis.audience].table
    pairs = zip(figures.shown_values, list_value_attributes(figures, table), strict=True)
    return {value.name: _Figure(_name_figure(value, figures), value, attribute) for value, attribute in pairs}


def _name_figure(value: MeasureValue, figures: Measure) -> str:
    over = figures.path.over if figures.path else figures.over
    if not isinstance(value.source, Aggregate):
        return f"days of {over}"
    of = value.source.of
    return f"{value.source.function} of {of.name if isinstance(of, Attribute) else over}"


def _count(scope: Scope, activity: Activity, zone: str) -> tuple[Grouping, tuple[FieldCounts, ...]]:
    sample = scope.sample(scope.share, also=lambda batch: activity.find_active(batch) > 0)
    if sample.num_rows < _ENOUGH and scope.share < 1:
        sample = scope.sample(1.0, also=lambda batch: activity.find_active(batch) > 0)
    cells = [end_on_days(each, zone) for each in activity.choose_candidates(sample)]
    candidates = CellCounter(tuple(cells))
    counted = scope.count(lambda batch: candidates.count(batch, activity.find_active(batch)), PARTS)
    grouping = cut_levels(activity, tally_counts(counted, cells, 1), sample)
    groups = CellCounter(grouping.summed)
    counted = scope.count(lambda batch: groups.count(batch, grouping.assign(batch)), PARTS)
    return grouping, tally_counts(counted, grouping.summed, grouping.group_count)


def _find_rows(
    run: ModelRun, analysis: Analysis, figures: Measure, named: Mapping[str, _Figure]
) -> ActivityRows | None:
    """Return the rows of the activity in the period of this run; None where no rule can say which these are."""
    if figures.path is None:
        return None
    rows: dict[str, Plain] = {"over": figures.path.over}
    if via := run.catalogue.definitions[analysis.id].fields.get("via"):
        rows["via"] = to_plain(via)
    if figures.where is not None:
        where = write_fixed_times(figures.where, instant_of(run.as_of), run.catalogue.settings.time_zone)
        if where is None:
            return None
        rows["where"] = where
    aggregates = {
        each.name: (str(each.value.source.function), each.value.source.of.name)
        for each in named.values()
        if isinstance(each.value.source, Aggregate) and isinstance(each.value.source.of, Attribute)
    }
    return ActivityRows(rows, named["frequency"].name, aggregates)
