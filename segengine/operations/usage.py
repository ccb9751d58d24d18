"""Who uses which definitions, and registering outside consumers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segengine.errors import DefinitionError, Place
from segengine.operations.apply import record_new_definition
from segengine.operations.context import OpenProject, load_registered
from segengine.operations.definition_plan import DefinitionPlan
from segengine.project.definitions import read_definition
from segengine.project.find import find_definition
from segengine.project.model import Consumer, Segment
from segengine.project.nodes import Plain, from_plain
from segengine.project.problems import Problems
from segengine.project.quick import ORIGIN
from segengine.project.usage import User, make_usage_graph

PLACE = Place("consumers add")


@dataclass(frozen=True)
class Usage:
    """Who uses a segment (also by its output table) or a measure: by naming it, or through others only."""

    kind: str
    id: str
    name: str
    output_table: str
    direct: tuple[User, ...]
    indirect: tuple[User, ...]


def read_usage(project: OpenProject, names: Sequence[str] = ()) -> list[Usage]:
    """Return who uses the named definitions, or all that can be used: segments and measures; by name.

    Raises:
        ConfigError: A name is unknown, or nothing is applied.
    """
    catalogue, _ = load_registered(project)
    graph = make_usage_graph(catalogue)
    wanted = [find_definition(catalogue, name) for name in names] or catalogue.usable
    found = [
        Usage(
            kind=each.kind,
            id=each.id,
            name=each.name,
            output_table=each.output_table if isinstance(each, Segment) else "",
            direct=graph.direct(each.id),
            indirect=graph.indirect(each.id),
        )
        for each in wanted
    ]
    return sorted(found, key=lambda usage: usage.name.casefold())


def list_consumers(project: OpenProject) -> list[tuple[Consumer, tuple[str, ...]]]:
    """Return the registered outside consumers by name, each with the names of what it uses."""
    catalogue, registry = load_registered(project)
    consumers = sorted(catalogue.consumers.values(), key=lambda consumer: consumer.name.casefold())
    return [(consumer, tuple(registry.names[used] for used in consumer.uses)) for consumer in consumers]


def register_consumer(
    project: OpenProject, name: str, uses: Sequence[str], *, link: str = "", description: str = ""
) -> DefinitionPlan:
    """Register who uses segments or measures outside of segengine.

    Args:
        project: The project.
        name: What the consumer is called.
        uses: Names or ids of what it uses.
        link: Where it, or who answers for it, is found.
        description: What for.

    Raises:
        DefinitionError: The name is taken or no id can be made from it, or it uses what does not exist.
    """
    fields: dict[str, Plain] = {"kind": "consumer", "name": name, "uses": [*uses]}
    fields |= {key: text for key, text in {"link": link, "description": description}.items() if text}
    problems = Problems()
    definition = read_definition(from_plain(fields, PLACE), ORIGIN, problems)
    if definition is None:
        raise DefinitionError(problems.issues)
    return record_new_definition(project, definition)
