"""Normal form of conditions on rows.

A rule's condition becomes an OR of *clauses*; a clause is an AND of conditions on single columns. Equal clauses of
different segments are one clause. Where multiplying out would pass `MAX_CLAUSES`, the AND stays a tree of row sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod

from segengine.project.attributes import Attribute
from segengine.project.logic import is_satisfiable, push_not_inward
from segengine.project.model import All, AnyOf, Condition, Expression

MAX_CLAUSES = 64

Clause = frozenset[Condition]
EVERY_ROW: Clause = frozenset()


@dataclass(frozen=True)
class Clauses:
    """Rows that satisfy at least one clause; no clause: no row."""

    clauses: tuple[Clause, ...]


@dataclass(frozen=True)
class Common:
    """Rows in every one of several row sets, too large to multiply out."""

    parts: tuple[RowSet, ...]


@dataclass(frozen=True)
class Combined:
    """Rows in at least one of several row sets."""

    parts: tuple[RowSet, ...]


RowSet = Clauses | Common | Combined
ALL_ROWS = Clauses((EVERY_ROW,))
NO_ROWS = Clauses(())


def make_row_set(*expressions: Expression | None) -> RowSet:
    """Return the rows on which all the given expressions hold; None holds on every row."""
    given = tuple(expression for expression in expressions if expression is not None)
    return _row_set(push_not_inward(All(given))) if given else ALL_ROWS


def _row_set(expression: Expression) -> RowSet:
    if isinstance(expression, Condition):
        return _simplified((frozenset((expression,)),))
    if isinstance(expression, All):
        return _common(tuple(_row_set(item) for item in expression.items))
    if isinstance(expression, AnyOf):
        return _combined(tuple(_row_set(item) for item in expression.items))
    raise TypeError(f"{type(expression).__name__} is no condition on rows")


def _common(parts: tuple[RowSet, ...]) -> RowSet:
    if len(parts) == 1:
        return parts[0]
    flat = [part for part in parts if isinstance(part, Clauses)]
    if len(flat) < len(parts) or prod(len(part.clauses) for part in flat) > MAX_CLAUSES:
        return Common(parts)
    return _simplified(tuple(frozenset().union(*choice) for choice in product(*(part.clauses for part in flat))))


def _combined(parts: tuple[RowSet, ...]) -> RowSet:
    if len(parts) == 1:
        return parts[0]
    flat = [part for part in parts if isinstance(part, Clauses)]
    if len(flat) < len(parts):
        return Combined(parts)
    return _simplified(tuple(clause for part in flat for clause in part.clauses))


def _simplified(clauses: tuple[Clause, ...]) -> Clauses:
    """Return the clauses without those that cannot hold and those that another one includes."""
    possible = [clause for clause in dict.fromkeys(clauses) if _is_possible(clause)]
    minimal = [clause for clause in possible if not any(other < clause for other in possible)]
    return Clauses(tuple(sorted(minimal, key=_clause_order)))


def _is_possible(clause: Clause) -> bool:
    by_column: dict[Attribute, list[Condition]] = {}
    for condition in clause:
        by_column.setdefault(condition.attribute.whole, []).append(condition)
    return all(is_satisfiable(conditions) for conditions in by_column.values())


def _clause_order(clause: Clause) -> list[str]:
    return sorted(repr((c.attribute.name, c.test, c.missing)) for c in clause)


def clauses_of(rows: RowSet) -> tuple[Clause, ...]:
    """Return every clause a row set is made of."""
    if isinstance(rows, Clauses):
        return rows.clauses
    return tuple(clause for part in rows.parts for clause in clauses_of(part))
