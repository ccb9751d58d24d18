"""Reading `attach`: attributes of related tables that stand in a segment's output table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from segengine.errors import Place
from segengine.project.attributes import Attribute, Path
from segengine.project.model import Attachment
from segengine.project.names import is_table_name
from segengine.project.nodes import Fields, Items, Node, Scalar
from segengine.project.paths import Unresolved, ViaStep, find_attribute, find_path, row_key
from segengine.project.problems import Problems, show_node
from segengine.project.project_file import Schema, Settings
from segengine.project.via import read_path

ATTACH_FIELDS = ("over", "via", "columns", "name")
DEFAULT_ATTACH_LIMIT = 1_000
MAX_ATTACH_LIMIT = 10_000
OUTPUT_COLUMNS = ("segment_id", "snapshot_version", "attributes_as_of")
_STORABLE = re.compile(r"[^ ,;{}()\n\t=]+")  # what every engine takes as the name of a column of a Delta table


@dataclass(frozen=True)
class _Item:
    """One entry of `attach`: rows, the names of their attributes with places, and the column they go to."""

    path: Path
    columns: tuple[tuple[str, Place], ...]
    name: str
    place: Place


def read_attach_limit(fields: Fields, problems: Problems) -> int:
    """Return how many rows of each table a member's array has at most."""
    node = fields.get("attach_limit")
    if node is None:
        return DEFAULT_ATTACH_LIMIT
    if fields.get("attach") is None:
        problems.add(fields.key_place("attach_limit"), "SEG203", "`attach_limit` needs `attach` beside it.")
    text = node.text or "" if isinstance(node, Scalar) else ""
    if text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= MAX_ATTACH_LIMIT:
        return int(text)
    message = f"attach_limit is {show_node(node)}, expected a whole number from 1 to {MAX_ATTACH_LIMIT:,}."
    problems.add(node.place, "SEG207", message)
    return DEFAULT_ATTACH_LIMIT


def read_attachments(
    fields: Fields, profile_table: str, settings: Settings, schema: Schema, problems: Problems
) -> tuple[Attachment, ...]:
    """Return what `attach` asks for, one for each column of the output table; errors are reported."""
    node = fields.get("attach")
    nodes = node.nodes if isinstance(node, Items) else () if node is None else (node,)
    if node is not None and not nodes:
        problems.add(node.place, "SEG301", "`attach` is empty.")
    reader = _AttachReader(profile_table, settings, schema, problems)
    attachments: dict[tuple[str, Path], Attachment] = {}
    for item in nodes:
        read = reader.read(item)
        if read is None:
            continue
        known = attachments.get((read.name, read.path))
        own = replace(known, attributes=(*known.attributes, *read.attributes)) if known else read
        attachments[read.name, read.path] = own
    found = tuple(attachments.values())
    _check_names(found, settings.tables[profile_table].key[0], problems)
    return found


class _AttachReader:
    """Reads the items of one segment's `attach`."""

    def __init__(self, profile_table: str, settings: Settings, schema: Schema, problems: Problems) -> None:
        self._profile_table = profile_table
        self._settings = settings
        self._schema = schema
        self._problems = problems

    def _find_path(self, over: str, via: Sequence[ViaStep]) -> Path | Unresolved:
        return find_path(self._settings, over, self._profile_table, via)

    def read(self, node: Node) -> Attachment | None:
        if isinstance(node, Fields):
            item = self._named(node)
        elif isinstance(node, Scalar) and all((node.text or "").partition(".")):
            item = self._short(node.text or "", node.place)
        else:
            self._problems.wrong_form(node, "`attach`", "`table.attribute`, or `{over: table, columns: [...]}`")
            return None
        return None if item is None else self._resolve(item)

    def _short(self, text: str, place: Place) -> _Item | None:
        table, _, column = text.partition(".")
        if table == self._profile_table:
            message = f'"{text}" is an attribute of the profile; what is attached are rows of related tables.'
            self._problems.add(place, "SEG228", message)
            return None
        path = self._find_path(table, ())
        if isinstance(path, Path):
            return _Item(path, ((column, place),), table, place)
        hint = path.hint
        if path.code == "SEG222" or "via" in hint:
            hint = f"{hint.rstrip('.')}, as in `{{over: {table}, via: ..., columns: [{column}]}}`."
        self._problems.add(place, path.code, f'"{text}": {path.message}', hint)
        return None

    def _named(self, fields: Fields) -> _Item | None:
        before = self._problems.error_count
        self._problems.fields(fields, "`attach`", ATTACH_FIELDS)
        path = read_path(fields, self._find_path, self._problems) if fields.get("over") else None
        columns = fields.get("columns")
        for name in ("over", "columns"):
            if fields.get(name) is None:
                self._problems.add(fields.place, "SEG202", f'`attach`: the field "{name}" is missing.')
        names = self._problems.texts(columns, "columns")
        if columns is not None and not names:
            self._problems.add(columns.place, "SEG301", "`columns` is empty.")
        column = self._problems.text(fields.get("name"), "name")
        if column is not None and not is_table_name(column):
            message = f'name "{column}" is not letters, digits and _, beginning with a letter.'
            self._problems.add(fields.key_place("name"), "SEG207", message)
        if path is None or columns is None or self._problems.error_count > before:
            return None
        places = [item.place for item in columns.nodes] if isinstance(columns, Items) else [columns.place]
        return _Item(path, tuple(zip(names, places, strict=True)), column or path.over, fields.place)

    def _resolve(self, item: _Item) -> Attachment | None:
        # The profile's own key, at the end of a path from one to many, is the same for all of a member's rows.
        key_names = row_key(self._settings, Path(item.path.over, item.path.hops[:-1]))
        key = [self._attribute(item.path, name, item.place) for name in key_names]
        attributes = [self._attribute(item.path, name, place) for name, place in item.columns]
        if None in key or None in attributes:
            return None
        return Attachment(item.name, item.path, _present(key), _present(attributes), item.place)

    def _attribute(self, path: Path, name: str, place: Place) -> Attribute | None:
        attribute = find_attribute(self._settings, self._schema, path, name)
        if isinstance(attribute, Attribute):
            return attribute
        if attribute.message:
            self._problems.add(place, attribute.code, attribute.message, attribute.hint)
        return None


def _present(attributes: Sequence[Attribute | None]) -> tuple[Attribute, ...]:
    return tuple(attribute for attribute in attributes if attribute is not None)


def _check_names(attachments: Sequence[Attachment], id_name: str, problems: Problems) -> None:
    """Report columns of the output table, and fields of its structs, that cannot be told apart or stored."""
    taken = {name.lower() for name in (id_name, *OUTPUT_COLUMNS)}
    for attachment in attachments:
        names = {attachment.name.lower(), attachment.truncated_name.lower()}
        if names & taken:
            message = f'the output table has two columns "{attachment.name}".'
            problems.add(attachment.place, "SEG228", message, "Give this one a `name`: `{over: ..., name: ...}`.")
        taken |= names
        _check_fields(attachment, problems)


def _check_fields(attachment: Attachment, problems: Problems) -> None:
    seen: dict[str, str] = {}
    for name, attribute in attachment.fields:
        other = seen.setdefault(name.lower(), attribute.name)
        if other != attribute.name:
            message = f'"{other}" and "{attribute.name}" would both be field "{name}".'
            problems.add(attachment.place, "SEG228", message, "Attach one of them, or rename its column with `from:`.")
        if not _STORABLE.fullmatch(name):
            message = f'a Delta table cannot have a field named "{name}".'
            problems.add(attachment.place, "SEG228", message, "Give the column another name with `from:`.")
