"""What models look at: fields of the profiles, and the segments they are about, as definitions name them."""

from __future__ import annotations

from collections.abc import Mapping

from segengine.errors import Place
from segengine.project.analysis import Evaluated
from segengine.project.attributes import Attribute
from segengine.project.context import Context, find_member_segment
from segengine.project.measure import Measure
from segengine.project.measure_names import find_named, list_value_attributes
from segengine.project.model import InSegment, ModelField
from segengine.project.nodes import Fields, Items, Node, Scalar
from segengine.project.paths import Unresolved
from segengine.project.problems import Problems
from segengine.project.profile_attributes import list_profile_attributes
from segengine.project.project_file import Schema, Settings
from segengine.project.walk import find_behind

EVERYONE_ELSE = "everyone_else"


def is_everyone_else(node: Node | None) -> bool:
    """Return whether a definition names nobody, or all others."""
    return node is None or (isinstance(node, Scalar) and node.text == EVERYONE_ELSE)


def read_segment(node: Node | None, what: str, audience: str, context: Context, problems: Problems) -> str | None:
    """Return the id of the segment of an audience that a node names, or None where there is none (reported)."""
    name = problems.text(node, what)
    if node is None or name is None:
        return None
    identity = find_member_segment(context, audience, audience, problems, name, node.place)
    if identity == context.own_id:
        problems.add(node.place, "SEG404", "an expansion refers to itself.")
        return None
    if identity is not None and context.segment_audiences.get(identity) != audience:
        message = (
            f'segment "{name}" is of audience "{context.segment_audiences.get(identity)}", this one of "{audience}".'
        )
        problems.add(node.place, "SEG405", message)
        return None
    return identity


def read_fields(
    node: Node | None, what: str, audience: str, context: Context, problems: Problems
) -> dict[ModelField, Place]:
    """Return the fields named and where, each once: attributes, measures, or memberships as `in_segment: NAME`.

    Args:
        node: The list as written; None: there is none.
        what: What it is called.
        audience: Whose profiles.
        context: What names may mean.
        problems: Where issues are added.
    """
    if node is None:
        return {}
    if not isinstance(node, Items):
        problems.wrong_form(node, what, "a list of attributes and measures")
        return {}
    if not node.nodes:
        problems.add(node.place, "SEG203", f"{what} is an empty list, expected attributes and measures.")
    found: dict[ModelField, Place] = {}
    for item in node.nodes:
        if field := read_field(item, audience, context, problems):
            found.setdefault(field, item.place)
    return found


def read_field(node: Node, audience: str, context: Context, problems: Problems) -> ModelField | None:
    """Return the field a node names, or None where there is none (reported)."""
    if isinstance(node, Fields) and node.keys() == ["in_segment"]:
        value = node.entries[0][1]
        identity = read_segment(value, "in_segment", audience, context, problems)
        return None if identity is None else ModelField(f"in {problems.text(value, '')}", InSegment(identity))
    name = problems.text(node, "a field")
    if name is None:
        return None
    table = context.settings.audiences[audience].table
    found = find_named(context.settings, context.schema, table, name, context.measures)
    if isinstance(found, Unresolved):
        if found.message:
            problems.add(found.place or node.place, found.code, found.message, found.hint)
        return None
    if found.measure and found.hops:
        message = f'"{name}" is a value of the profiles\' {found.hops[-1].name}.'
        problems.add(node.place, "SEG235", message, "Models look at the profiles' own measures.")
        return None
    return ModelField(found.name, found)


def list_fields(
    audience: str, settings: Settings, schema: Schema, evaluated: Mapping[str, Evaluated], fed: str = ""
) -> tuple[ModelField, ...]:
    """Return every field there is of an audience's profiles: attributes, then measures.

    Args:
        audience: Whose profiles.
        settings: The project.
        schema: Its columns.
        evaluated: All definitions by id.
        fed: The id of a definition; measures made of it are left out.
    """
    found = [ModelField(name, each) for name, each in list_profile_attributes(settings, schema, audience).items()]
    for measure in evaluated.values():
        if isinstance(measure, Measure) and measure.is_attribute and measure.audience == audience:
            if not fed or fed not in find_behind(evaluated, measure.id):
                table = settings.audiences[audience].table
                found += [ModelField(each.column, each) for each in list_value_attributes(measure, table)]
    return tuple(found)


def is_key_field(field: ModelField, settings: Settings) -> bool:
    """Return whether a field is a key, or refers to one."""
    source = field.source
    if not isinstance(source, Attribute) or source.measure:
        return False
    table = source.hops[-1].target if source.hops else source.base
    links = (link for link in settings.relationships if link.from_table == table)
    return source.column in settings.tables[table].key or any(source.column in link.from_columns for link in links)
