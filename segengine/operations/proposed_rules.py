"""What stands in the definition of a segment that has exactly the members of a group, with references by id."""

from __future__ import annotations

from collections.abc import Sequence

from segengine.models.groups import Group, write_rule
from segengine.models.suggestions import Question
from segengine.project.analysis import TargetQuestion
from segengine.project.catalogue import Catalogue
from segengine.project.model import InSegment
from segengine.project.nodes import Plain
from segengine.project.references import store_references

Rule = dict[str, Plain]


def write_group_rule(group: Group, question: Question, asked: TargetQuestion, catalogue: Catalogue) -> Rule:
    """Return the fields that say who is in a group: `where`, limited to the segment that was looked at."""
    types = {field.name: field.type for field in question.influences}
    segments = {
        field.name: field.source.segment_id for field in asked.influences if isinstance(field.source, InSegment)
    }
    items: list[Plain] = [_in_segment(asked.of, catalogue)] if asked.of else []
    for condition in group:
        if segment_id := segments.get(condition.field):
            inside = _in_segment(segment_id, catalogue)
            is_member = (condition.operator == "equals") == bool(condition.value)
            items.append(inside if is_member else {"not": inside})
        else:
            items.append(write_rule((condition,), types, question.zone))
    return _keep({"where": items[0] if len(items) == 1 else {"all": items}}, catalogue)


def write_steps_rule(steps: Sequence[Plain], of: str, catalogue: Catalogue) -> Rule:
    """Return the fields of steps over rows: `rules`, limited to the segment that was looked at."""
    inside: list[Plain] = [{"intersect": {"where": _in_segment(of, catalogue)}}] if of else []
    return _keep({"rules": [*steps, *inside]}, catalogue)


def _in_segment(segment_id: str, catalogue: Catalogue) -> Rule:
    return {"in_segment": catalogue.segments[segment_id].name}


def _keep(rule: Rule, catalogue: Catalogue) -> Rule:
    """Return a rule with segments and measures by id, as it is kept: they may be renamed before it is used."""
    segments = {segment.name: segment.id for segment in catalogue.segments.values()}
    measures = {measure.name: measure.id for measure in catalogue.measures.values()}
    kept = store_references(rule, segments, measures, catalogue.schema)
    return kept if isinstance(kept, dict) else rule
