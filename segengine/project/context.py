"""What definitions are resolved against, and how they refer to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from segengine.errors import Place
from segengine.project.attributes import Path
from segengine.project.conditions import ExpressionReader
from segengine.project.measure_names import Base, MeasureNames
from segengine.project.model import Definition, Expression
from segengine.project.nodes import Node, Scalar
from segengine.project.problems import Problems, did_you_mean
from segengine.project.project_file import Schema, Settings


@dataclass(frozen=True)
class Context:
    """The project, its columns, and the segments and measures by name and id; `own_id`: of the one being read.

    `expansions`: the ids of the segments that are expansions of others.
    """

    settings: Settings
    schema: Schema
    segment_ids: Mapping[str, str]
    segment_audiences: Mapping[str, str]
    measures: MeasureNames = field(default_factory=MeasureNames)
    own_id: str = ""
    expansions: frozenset[str] = frozenset()


def definition_audience(definition: Definition, settings: Settings) -> str:
    """Return the audience a definition names, or the project's only one (empty where it is unclear)."""
    node = definition.fields.get("audience")
    if isinstance(node, Scalar) and node.text:
        return node.text
    return next(iter(settings.audiences)) if len(settings.audiences) == 1 else ""


def read_condition(node: Node, base: Base, audience: str, context: Context, problems: Problems) -> Expression | None:
    """Return an expression over the profiles of an audience, the rows of a path or the groups of a measure.

    Args:
        node: The expression as written.
        base: What its names are seen from.
        audience: The audience of the definition.
        context: What names may mean.
        problems: Where issues are added.
    """
    accounts = context.settings.account_of(audience) if audience else None
    path = base if isinstance(base, Path) and base.hops else None
    judged = accounts.name if accounts and path and path.target == accounts.table else audience
    reader = ExpressionReader(context.settings, context.schema, base, problems, context.measures)
    return reader.read(node, partial(find_member_segment, context, audience, judged, problems), top=True)


def find_member_segment(
    context: Context, own: str, judged: str, problems: Problems, name: str, place: Place
) -> str | None:
    """Return the id of the segment a name or an id means; it may be one of the account of the audience judged."""
    identity = context.segment_ids.get(name)
    if identity is None:
        known = {identity: known for known, identity in reversed([*context.segment_ids.items()])}
        hint = did_you_mean(name, {known for identity, known in known.items() if identity != context.own_id})
        if name in context.measures:
            hint = f"It is a measure: `{name}: {{at_least: ...}}`."
        problems.add(place, "SEG403", f'there is no segment "{name}".', hint)
        return None
    if not judged:
        return identity  # a business measure that says of whom it asks nothing: reported by who needs to know
    settings, audience = context.settings, context.segment_audiences.get(identity, "")
    accounts = settings.account_of(judged)
    if audience in (judged, accounts.name if accounts else "") or audience not in settings.audiences:
        return identity
    this = "this one" if judged == own else "this rule"
    message = f'segment "{name}" is of audience "{audience}", {this} of "{judged}".'
    above = settings.account_of(audience)
    hint = ""
    if judged != own:
        hint = "Make it a rule of its own: `- intersect: {where: {in_segment: ...}}`."
    elif above is not None and above.name == judged:
        hint = f"Judge its rows instead: `over: {settings.audiences[audience].table}`."
    problems.add(place, "SEG405", message, hint)
    return None
