"""Conditions on the profile inside rules over rows.

They are the same for all rows of a profile, so they are taken out of the rule and judged once per profile: membership
in segments always, attributes of the profile (reached along the rule's own path) where that is possible.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from segengine.project.logic import push_not_inward
from segengine.project.model import (
    All,
    AnyOf,
    Condition,
    Expression,
    InSegment,
    Not,
    Path,
    Quantifier,
    RowsRule,
)
from segengine.project.problems import Problems
from segengine.project.walk import expression_leaves, profile_attribute, rule_expressions

MAX_ALTERNATIVES = 64


@dataclass(frozen=True)
class Alternative:
    """Some row of the profile satisfies `rows` (None: any row at all), and the profile satisfies all of `profile`."""

    profile: tuple[Expression, ...]
    rows: Expression | None


def _on_profile(leaf: Expression, path: Path) -> Expression | None:
    """Return a condition (or a negated membership) as one on the profile, or None where it is about rows."""
    if isinstance(leaf, InSegment) or (isinstance(leaf, Not) and isinstance(leaf.item, InSegment)):
        return leaf
    if isinstance(leaf, Condition) and (attribute := profile_attribute(leaf.attribute, path)):
        return replace(leaf, attribute=attribute)
    return None


def split_common(expression: Expression | None, path: Path) -> Alternative:
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


def split_alternatives(expression: Expression | None, path: Path) -> list[Alternative] | None:
    """Return alternatives one of which holds where some row satisfies an expression; None where they are too many."""
    if expression is None:
        return [Alternative((), None)]
    return _alternatives(push_not_inward(expression), path)


def _alternatives(expression: Expression, path: Path) -> list[Alternative] | None:
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


def _joined_rows(expression: All | AnyOf, path: Path) -> list[Expression]:
    """Return the items, those that are about rows alone as one."""
    about_rows = tuple(item for item in expression.items if not _mentions_profile(item, path))
    others = [item for item in expression.items if _mentions_profile(item, path)]
    return [*others, replace(expression, items=about_rows)] if about_rows else others


def _mentions_profile(expression: Expression, path: Path) -> bool:
    return any(_on_profile(leaf, path) is not None for leaf in expression_leaves(expression))


def _both(choice: tuple[Alternative, ...]) -> Alternative:
    profile = tuple(dict.fromkeys(item for part in choice for item in part.profile))
    rows = tuple(part.rows for part in choice if part.rows is not None)
    return Alternative(profile, None if not rows else rows[0] if len(rows) == 1 else All(rows))


def check_profile_parts(rule: RowsRule, problems: Problems) -> None:
    """Report memberships that stand where they cannot be taken out of a rule."""
    if rule.quantifier is Quantifier.ANY and rule.aggregates is None:
        whole = All(rule_expressions(rule))
        if _segments_in(whole) and split_alternatives(whole, rule.path) is None:
            first = _segments_in(whole)[0]
            message = f"in_segment makes more than {MAX_ALTERNATIVES} alternatives with the conditions around it."
            problems.add(first.place, "SEG224", message, _HINT)
        return
    for expression in (rule.among, rule.where):
        left = split_common(expression, rule.path).rows
        for leaf in _segments_in(left) if left is not None else ():
            message = "in_segment stands under `any` in a rule that counts or sums rows; only `rows: any` allows that."
            problems.add(leaf.place, "SEG224", message, _HINT)


_HINT = "Make it a rule of its own: `- union: {where: {in_segment: ...}}`, or `- intersect: ...`."


def _segments_in(expression: Expression) -> list[InSegment]:
    return [leaf for leaf in expression_leaves(expression) if isinstance(leaf, InSegment)]
