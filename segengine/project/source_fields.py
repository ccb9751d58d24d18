"""What of the profiles a segment's rule looks at itself: to a model these fields give the members away."""

from __future__ import annotations

from dataclasses import dataclass

from segengine.project.catalogue import Catalogue
from segengine.project.model import Attribute, Condition, Measure, ModelField, RowsRule, Segment
from segengine.project.walk import (
    definition_leaves,
    expression_leaves,
    find_behind,
    measure_attributes,
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


def find_key_fields(catalogue: Catalogue, segment: Segment) -> frozenset[str]:
    """Return the names of an expansion's fields that are keys, or refer to keys."""
    settings = catalogue.settings
    keys = {(table.name, column) for table in settings.tables.values() for column in table.key}
    keys |= {(link.from_table, column) for link in settings.relationships for column in link.from_columns}
    found = set()
    for field in segment.expansion.fields if segment.expansion else ():
        source = field.source
        if isinstance(source, Attribute) and not source.measure:
            table = source.hops[-1].target if source.hops else source.base
            if (table, source.column) in keys:
                found.add(field.name)
    return frozenset(found)


def _profile_attributes(definition: Segment | Measure) -> list[Attribute]:
    """Return the attributes a definition judges; those of rows as the profile sees them, where they are its own."""
    if isinstance(definition, Measure):
        judged = [leaf.attribute for leaf in definition_leaves(definition) if isinstance(leaf, Condition)]
        return [*judged, *measure_attributes(definition)]
    found: list[Attribute] = []
    for rule in segment_rules(definition.steps):
        leaves = [leaf for each in rule_expressions(rule) for leaf in expression_leaves(each)]
        attributes = [leaf.attribute for leaf in leaves if isinstance(leaf, Condition)]
        if isinstance(rule, RowsRule):
            seen = [profile_attribute(attribute, rule.path) for attribute in attributes]
            attributes = [attribute for attribute in seen if attribute is not None]
        found += attributes
    return found
