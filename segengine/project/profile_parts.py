"""Conditions on the profile inside rules over rows, and in the filters of measures.

They are the same for all rows of a profile, so they are taken out and judged once per profile: membership in segments
and measures always, attributes of the profile (reached along the rows' own path) where that is possible. A path of
None stands for the groups of a measure with dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from segengine.project.attributes import Path
from segengine.project.logic import push_not_inward
from segengine.project.measure_names import is_group_attribute
from segengine.project.model import All, AnyOf, Condition, Expression, InSegment, Not, Quantifier, RowsRule
from segengine.project.problems import Problems
from segengine.project.walk import expression_leaves, profile_attribute, rule_expressions

MAX_ALTERNATIVES = 64


@dataclass(frozen=True)
class Alternative:
    """Some row of the profile satisfies `rows` (None: any row at all), and the profile satisfies all of `profile`."""

    profile: tuple[Expression, ...]
    rows: Expression | None


def _on_profile(leaf: Expression, path: Path | None) -> Expression | None:
    """Return conditions (or a negated membership) as ones on the profile, or None where any of them is about rows."""
    if isinstance(leaf, All | AnyOf):
        items = [_on_profile(item, path) for item in leaf.items]
        found = tuple(item for item in items if item is not None)
        return replace(leaf, items=found) if len(found) == len(items) else None
    if isinstance(leaf, InSegment) or (isinstance(leaf, Not) and isinstance(leaf.item, InSegment)):
        return leaf
    if not isinstance(leaf, Condition):
        return None
    if path is None:
        return None if is_group_attribute(leaf.attribute) else leaf
    attribute = profile_attribute(leaf.attribute, path)
    return replace(leaf, attribute=attribute) if attribute else None


def split_common(expression: Expression | None, path: Path | None) -> Alternative:
    """Return an expression as the conditions on the profile that all its rows share, and the rest on rows.

    Only what stands alone or in the topmost `all` is taken out.
    """
    if expression is None:
        return Alternative((), None)
    items = list(_conjuncts(push_not_inward(expression)))
    on_profile = [_on_profile(item, path) for item in items]
    rows = tuple(item for item, found in zip(items, on_profile, strict=True) if found is None)
    rest = None if not rows else rows[0] if len(rows) == 1 else All(rows)
    return Alternative(tuple(found for found in on_profile if found is not None), rest)


def _conjuncts(expression: Expression) -> Iterator[Expression]:
    if isinstance(expression, All):
        for item in expression.items:
            yield from _conjuncts(item)
    else:
        yield expression


def split_alternatives(expression: Expression | None, path: Path | None) -> list[Alternative] | None:
    """Return alternatives one of which holds where some row satisfies an expression; None where they are too many."""
    if expression is None:
        return [Alternative((), None)]
    return _alternatives(push_not_inward(expression), path)


def _alternatives(expression: Expression, path: Path | None) -> list[Alternative] | None:
    on_profile = _on_profile(expression, path)
    if on_profile is not None:
        return [Alternative((on_profile,), None)]
    if not isinstance(expression, All | AnyOf) or not _mentions_profile(expression, path):
        return [Alternative((), expression)]
    parts = [_alternatives(item, path) for item in _joined_rows(expression, path)]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts):
        return None
    if isinstance(expression, AnyOf):
        joined = [alternative for part in found for alternative in part]
    else:
        count = 1
        for part in found:
            count *= len(part)
        if count > MAX_ALTERNATIVES:
            return None
        joined = [_both(choice) for choice in product(*found)]
    return joined if len(joined) <= MAX_ALTERNATIVES else None


def _joined_rows(expression: All | AnyOf, path: Path | None) -> list[Expression]:
    """Return the items, those that are about rows alone as one."""
    about_rows = tuple(item for item in expression.items if not _mentions_profile(item, path))
    others = [item for item in expression.items if _mentions_profile(item, path)]
    return [*others, replace(expression, items=about_rows)] if about_rows else others


def _mentions_profile(expression: Expression, path: Path | None) -> bool:
    return any(_on_profile(leaf, path) is not None for leaf in expression_leaves(expression))


def _both(choice: tuple[Alternative, ...]) -> Alternative:
    profile = tuple(dict.fromkeys(item for part in choice for item in part.profile))
    rows = tuple(part.rows for part in choice if part.rows is not None)
    return Alternative(profile, None if not rows else rows[0] if len(rows) == 1 else All(rows))


def check_profile_parts(rule: RowsRule, problems: Problems) -> None:
    """Report memberships and measures that stand where they cannot be taken out of a rule."""
    if rule.quantifier is Quantifier.ANY and rule.aggregates is None:
        whole = All(rule_expressions(rule))
        leaves = _judged_apart(whole)
        if leaves and split_alternatives(whole, rule.path) is None:
            what = f"more than {MAX_ALTERNATIVES} alternatives with the conditions around it"
            problems.add(leaves[0].place, "SEG224", f"{_called(leaves[0])} makes {what}.", _hint(leaves[0]))
        return
    for expression in (rule.among, rule.where):
        only = "only `rows: any` allows that"
        for leaf in _not_common(expression, rule.path):
            message = f"{_called(leaf)} stands under `any` in a rule that counts or sums rows; {only}."
            problems.add(leaf.place, "SEG224", message, _hint(leaf))


def check_measure_parts(expression: Expression | None, path: Path | None, problems: Problems) -> None:
    """Report memberships and measures that cannot be taken out of the filter of a measure or of one of its values."""
    for leaf in _not_common(expression, path):
        message = f"{_called(leaf)} stands under `any` in a measure's filter, where only the topmost `all` takes it."
        hint = "Make two values with a filter each, and a third of them by an `expression`."
        problems.add(leaf.place, "SEG224", message, hint)


def _not_common(expression: Expression | None, path: Path | None) -> list[InSegment | Condition]:
    """Return memberships and measures that not all rows share."""
    left = split_common(expression, path).rows
    return [] if left is None else _judged_apart(left)


def _hint(leaf: InSegment | Condition) -> str:
    what = "in_segment" if isinstance(leaf, InSegment) else leaf.attribute.column
    return f"Make it a rule of its own: `- union: {{where: {{{what}: ...}}}}`, or `- intersect: ...`."


def _judged_apart(expression: Expression) -> list[InSegment | Condition]:
    """Return what only the profile can tell: no row has a column of it."""
    return [
        leaf
        for leaf in expression_leaves(expression)
        if isinstance(leaf, InSegment) or (leaf.attribute.measure and not is_group_attribute(leaf.attribute))
    ]


def _called(leaf: InSegment | Condition) -> str:
    return "in_segment" if isinstance(leaf, InSegment) else f'the measure in "{leaf.text}"'
