"""What of the profiles a segment's rule looks at itself: to a model these fields give the members away."""

from __future__ import annotations

from dataclasses import dataclass

from segengine.project.analysis import Evaluated
from segengine.project.attributes import Attribute
from segengine.project.catalogue import Catalogue
from segengine.project.model import Condition, ModelField, RowsRule, Segment
from segengine.project.walk import (
    definition_leaves,
    expression_leaves,
    find_behind,
    measure_attributes,
    own_measure,
    profile_attribute,
    rule_expressions,
    segment_rules,
)


@dataclass(frozen=True)
class RuleFields:
    """The attributes of the profiles that a segment's rule uses, also through what it refers to, and all of the latter.

    `behind`: ids of segments and measures.
    """

    attributes: tuple[Attribute, ...]
    behind: frozenset[str]

    def has(self, field: ModelField, catalogue: Catalogue) -> bool:
        """Return whether a field repeats the rule: an attribute of it, or something made of the same measures."""
        if isinstance(field.source, Attribute) and not field.source.measure:
            return field.source in self.attributes
        measures = {
            identity for identity in find_behind(catalogue.evaluated, field.parent) if identity in catalogue.measures
        }
        return field.parent in self.behind or not self.behind.isdisjoint(measures)


def find_rule_fields(catalogue: Catalogue, segment_id: str) -> RuleFields:
    """Return what the rule of a segment looks at."""
    behind = find_behind(catalogue.evaluated, segment_id)
    table = catalogue.settings.audiences[catalogue.segments[segment_id].audience].table
    found = [each for identity in behind for each in _profile_attributes(catalogue.find(identity))]
    own = (each.whole for each in found if each.base == table and not each.measure and not each.aggregate)
    return RuleFields(tuple(dict.fromkeys(own)), frozenset(behind))


def _profile_attributes(definition: Evaluated) -> list[Attribute]:
    """Return the attributes a definition judges; those of rows as the profile sees them, where they are its own."""
    if not isinstance(definition, Segment):
        measure = own_measure(definition)
        judged = [leaf.attribute for leaf in definition_leaves(definition) if isinstance(leaf, Condition)]
        return [*judged, *(measure_attributes(measure) if measure else ())]
    found: list[Attribute] = []
    for rule in segment_rules(definition.steps):
        leaves = [leaf for each in rule_expressions(rule) for leaf in expression_leaves(each)]
        attributes = [leaf.attribute for leaf in leaves if isinstance(leaf, Condition)]
        if isinstance(rule, RowsRule):
            seen = [profile_attribute(attribute, rule.path) for attribute in attributes]
            attributes = [attribute for attribute in seen if attribute is not None]
        found += attributes
    return found
