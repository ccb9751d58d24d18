"""Reading `per`: whose values a measure has, and what they are told apart by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from segengine.project.attributes import Attribute
from segengine.project.date_parts import DAY_OF_LEAP_YEAR, PARTS, part_of
from segengine.project.measure import Dimension, DimensionPeriod
from segengine.project.nodes import Fields, Items, Node, Scalar
from segengine.project.paths import Unresolved
from segengine.project.problems import Problems, did_you_mean
from segengine.project.project_file import Settings
from segengine.project.types import AttributeType, Family

BUSINESS = "business"
ONLY_AUDIENCE = "customer"  # what the profiles may be called where there is one audience
PERIODS: tuple[DimensionPeriod, ...] = get_args(DimensionPeriod)
DATE_PARTS = tuple(name for name in PARTS if name != DAY_OF_LEAP_YEAR)

FindAttribute = Callable[[str], Attribute | Unresolved]


@dataclass(frozen=True)
class Grain:
    """What `per` says: the audience ('' where the measure is the business's), and the dimensions as written."""

    audience: str
    dimensions: tuple[Node, ...]


def read_per(node: Node | None, settings: Settings, problems: Problems) -> Grain | None:
    """Return whose values a measure has, or None where that is unclear (which is reported)."""
    audiences = {name: name for name in settings.audiences}
    if len(audiences) == 1:
        audiences[ONLY_AUDIENCE] = next(iter(settings.audiences))
    known = [*audiences, BUSINESS]
    if isinstance(node, Scalar) and node.text:
        if node.text == BUSINESS:
            return Grain("", ())
        if node.text in audiences:
            return Grain(audiences[node.text], ())
        hint = did_you_mean(node.text, known)
        if not hint.startswith("Did"):
            hint = f"{hint} Of the business by this attribute it is `[{node.text}]`.".strip()
        problems.add(node.place, "SEG405", f'`per`: there is no audience "{node.text}".', hint)
        return None
    if not isinstance(node, Items):
        if node is not None:
            expected = "an audience, `business`, or a list of an audience and dimensions"
            problems.wrong_form(node, "`per`", expected)
        return None
    if not node.nodes:
        problems.add(node.place, "SEG301", "`per` is empty.", f"Known: {', '.join(known)}.")
        return None
    first = node.nodes[0]
    word = first.text if isinstance(first, Scalar) else None
    if word == BUSINESS:
        message = "`per`: `business` stands alone; dimensions without an audience are of the business anyway."
        problems.add(first.place, "SEG231", message, "Leave it out of the list.")
        return Grain("", node.nodes[1:])
    if word in audiences:
        return Grain(audiences[word], node.nodes[1:])
    return Grain("", node.nodes)


def read_dimensions(
    nodes: Sequence[Node], find: FindAttribute, settings: Settings, problems: Problems
) -> tuple[Dimension, ...] | None:
    """Return the dimensions that the items of `per` name, or None where one has errors (which are reported)."""
    read = [_read_dimension(node, find, settings, problems) for node in nodes]
    found = [dimension for dimension in read if dimension is not None]
    if len(found) < len(read):
        return None
    return _named_apart(nodes, found, problems)


@dataclass(frozen=True)
class _Named:
    """A dimension, whether its name was given, and what it is called where its own name is taken."""

    dimension: Dimension
    longer: str


def _read_dimension(node: Node, find: FindAttribute, settings: Settings, problems: Problems) -> _Named | None:
    if isinstance(node, Scalar) and node.text:
        attribute = _find(node, find, problems, [*settings.audiences, BUSINESS])
        if attribute is None:
            return None
        name = attribute.name.replace(".", "_")
        return _Named(Dimension(name, attribute, attribute.type), "")
    words = [word for word in node.keys() if word != "as"] if isinstance(node, Fields) else []
    if not isinstance(node, Fields) or len(words) != 1 or words[0] not in (*PERIODS, *DATE_PARTS):
        if len(words) == 1:
            hint = did_you_mean(words[0], (*PERIODS, *DATE_PARTS))
            message = f'`per`: a dimension is an attribute, or a period or part of a date, not "{words[0]}".'
            problems.add(node.place, "SEG231", message, hint)
        else:
            problems.wrong_form(node, "a dimension", "an attribute, or a period or part of a date: `{month: ...}`")
        return None
    given = problems.text(node.get("as"), "`as`")
    column = node.get(words[0])
    if not isinstance(column, Scalar) or not column.text:
        problems.wrong_form(column or node, f"`{words[0]}`", "an attribute")
        return None
    attribute = _find(column, find, problems, ())
    if attribute is None:
        return None
    return _dated(words[0], attribute, given or "", column, settings, problems)


def _find(node: Scalar, find: FindAttribute, problems: Problems, words: Sequence[str]) -> Attribute | None:
    found = find(node.text or "")
    if isinstance(found, Attribute):
        return found
    if found.message:
        near = did_you_mean(node.text or "", words)
        hint = near if near.startswith("Did") else found.hint
        problems.add(found.place or node.place, found.code, f"`per`: {found.message}", hint)
    return None


def _dated(
    word: str, attribute: Attribute, given: str, node: Scalar, settings: Settings, problems: Problems
) -> _Named | None:
    """Return a period or a part of a date or time as a dimension."""
    fitting = (Family.TIMESTAMP,) if word == "hour_of" else (Family.DATE, Family.TIMESTAMP)
    if attribute.type.family not in fitting:
        message = f"`per`: {word} does not fit {attribute.name} ({attribute.type})."
        hint = f"It takes {' and '.join(f'{family}s' for family in fitting)}."
        problems.add(node.place, "SEG231", message, hint)
        return None
    longer = "" if given else f"{word}_{attribute.name.replace('.', '_')}"
    name = given or word
    period = next((known for known in PERIODS if known == word), None)
    if period:
        return _Named(Dimension(name, attribute, AttributeType("date"), period), longer)
    part = part_of(attribute, word, settings.time_zone)
    return _Named(Dimension(name, part, part.type), longer)


def _named_apart(nodes: Sequence[Node], found: Sequence[_Named], problems: Problems) -> tuple[Dimension, ...]:
    """Return the dimensions, those with the word of a period for a name with a longer one where it is not alone."""
    names = [named.dimension.name for named in found]
    dimensions: list[Dimension] = []
    taken: set[str] = set()
    for node, named in zip(nodes, found, strict=True):
        dimension = named.dimension
        if named.longer and names.count(dimension.name) > 1:
            dimension = replace(dimension, name=named.longer)
        if dimension.name.lower() in taken:
            message = f'`per`: two dimensions are called "{dimension.name}".'
            problems.add(node.place, "SEG231", message, "Leave one out, or name it: `{month: ..., as: ...}`.")
        taken.add(dimension.name.lower())
        dimensions.append(dimension)
    return tuple(dimensions)
