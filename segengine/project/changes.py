"""Changes of definitions that commands make: from the fields as kept to the fields afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from segengine.errors import ConfigError
from segengine.project.definitions import AUTO_DEACTIVATED, SEGMENT_KINDS
from segengine.project.model import SegmentType, State
from segengine.project.names import make_output_table
from segengine.project.nodes import Plain

Entries = dict[str, Plain]
Change = Callable[[Mapping[str, Plain]], Entries]


def tags_of(fields: Mapping[str, Plain]) -> tuple[str, ...]:
    """Return the tags of a definition's fields, each once."""
    tags = fields.get("tags")
    found = tags if isinstance(tags, list) else [tags] if tags else []
    return tuple(dict.fromkeys(str(tag) for tag in found))


def add_tags(*tags: str) -> Change:
    """Return the change that adds tags; those that are there stay where they are."""
    return lambda fields: _with_tags(fields, (*tags_of(fields), *tags))


def remove_tags(*tags: str) -> Change:
    """Return the change that takes tags away; those that are not there are no error."""
    return lambda fields: _with_tags(fields, [tag for tag in tags_of(fields) if tag not in tags])


def activate() -> Change:
    """Return the change that lets definitions take part in refreshes again."""
    return lambda fields: _with_state(remove_tags(AUTO_DEACTIVATED)(fields), "active")


def deactivate(*, unused: bool = False) -> Change:
    """Return the change after which definitions are not refreshed; `unused`: it says that nobody used them."""
    mark = add_tags(AUTO_DEACTIVATED) if unused else dict
    return lambda fields: _with_state(mark(fields), "inactive")


def set_type(type_: SegmentType) -> Change:
    """Return the change that makes segments dynamic, or static: their members stay until somebody asks."""

    def change(fields: Mapping[str, Plain]) -> Entries:
        if fields.get("type", "dynamic") == type_:
            return dict(fields)
        return {**fields, "type": type_}

    return change


def rename(name: str, output_table: str = "") -> Change:
    """Return the change of a definition's name.

    Args:
        name: The new name.
        output_table: What a segment's output table is called from now on; '': as before.

    Raises:
        ConfigError: The name is blank, or has line breaks or other signs that cannot be seen.
    """
    _check_name(name)

    def change(fields: Mapping[str, Plain]) -> Entries:
        changed = {**fields, "name": name}
        if fields.get("kind") in SEGMENT_KINDS:
            table = output_table or str(fields.get("output_table") or make_output_table(str(fields.get("name"))))
            changed["output_table"] = table
            if table == make_output_table(name):
                del changed["output_table"]
        elif output_table:
            raise ConfigError("Only segments have an output table of another name.", "Leave --output-table out.")
        return changed

    return change


def copy_as(name: str) -> Change:
    """Return the change from a definition to the fields of a copy: its own name, id and output table.

    Raises:
        ConfigError: The name is blank, or has line breaks or other signs that cannot be seen.
    """
    _check_name(name)
    own = ("id", "output_table")
    return lambda fields: {**{key: value for key, value in fields.items() if key not in own}, "name": name}


def _check_name(name: str) -> None:
    if not name.strip() or not name.isprintable():
        raise ConfigError(f"{name!r} is no name.", "Write one with letters or digits, in one line.")


def _with_tags(fields: Mapping[str, Plain], tags: tuple[str, ...] | list[str]) -> Entries:
    kept: list[Plain] = [*dict.fromkeys(tags)]
    if kept == list(tags_of(fields)):
        return dict(fields)
    if kept:
        return {**fields, "tags": kept}
    return {key: value for key, value in fields.items() if key != "tags"}


def _with_state(fields: Mapping[str, Plain], state: State) -> Entries:
    return dict(fields) if fields.get("state", "active") == state else {**fields, "state": state}
