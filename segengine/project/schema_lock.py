"""`schema.lock.yml`: the sources' tables, columns and stored types, reviewed and committed.

The lock says what was there when it was pulled; the project file says what is meant. Together they are the
`Schema` that definitions are checked against, without touching a source.
"""

from __future__ import annotations

from collections.abc import Mapping

from segengine.errors import DefinitionError, Place
from segengine.project.activities import find_activity_issues
from segengine.project.nodes import Fields, Plain, Scalar, dump_documents, read_documents
from segengine.project.problems import Problems, did_you_mean
from segengine.project.project_file import Schema, Settings, Table
from segengine.project.settings import RESERVED
from segengine.project.types import AttributeType, Family, parse_type

LOCK_FILE = "schema.lock.yml"
_HEADER = "# Written by `segengine schema pull`: tables, columns and stored types of the sources. Commit it.\n"
StoredColumns = Mapping[str, Mapping[str, str]]  # table -> column -> stored type as text


def dump_lock(stored: StoredColumns) -> str:
    """Return the text of a lock file."""
    tables: Plain = {table: dict(columns) for table, columns in sorted(stored.items())}
    return _HEADER + dump_documents([tables], one_value_a_line=True)


def load_lock(settings: Settings) -> dict[str, dict[str, str]] | None:
    """Return the stored columns of the lock file, or None where there is none.

    Raises:
        DefinitionError: The file is not a mapping of tables to columns and types.
    """
    path = settings.root / LOCK_FILE
    if not path.is_file():
        return None
    documents, issues = read_documents(path, LOCK_FILE)
    problems = Problems()
    problems.issues += issues
    stored: dict[str, dict[str, str]] = {}
    root = documents[0] if documents else Fields(())
    if not isinstance(root, Fields):
        problems.wrong_form(root, LOCK_FILE, "tables with their columns")
    for table, columns in root.entries if isinstance(root, Fields) else ():
        if not isinstance(columns, Fields):
            problems.wrong_form(columns, f'table "{table.text}"', "columns and their types")
            continue
        for name, type_ in columns.entries:
            if not isinstance(type_, Scalar) or not type_.text:
                problems.wrong_form(type_, f'column "{name.text}" of table "{table.text}"', "a type")
        types = {name.text or "": type_.text or "" for name, type_ in columns.entries if isinstance(type_, Scalar)}
        stored[table.text or ""] = types
    if problems.issues:
        raise DefinitionError(problems.issues)
    return stored


def load_schema(settings: Settings, problems: Problems) -> Schema:
    """Return the columns and types of every table as meant: lock, then project file; report what does not fit."""
    stored = load_lock(settings)
    if stored is None:
        problems.add(Place(LOCK_FILE), "SEG106", f"there is no {LOCK_FILE}.", "Run `segengine schema pull` first.")
        stored = {}
    columns = {
        name: _table_columns(table, stored.get(name), settings, problems) for name, table in settings.tables.items()
    }
    schema = Schema(columns, stored)
    if stored:
        _find_key_issues(settings, schema, problems)
        find_activity_issues(settings, schema, problems)
    return schema


def _table_columns(
    table: Table, stored: Mapping[str, str] | None, settings: Settings, problems: Problems
) -> dict[str, AttributeType]:
    declared = {column.name: column for column in table.columns}
    if stored is None:
        if (settings.root / LOCK_FILE).is_file():
            problems.add(
                table.place,
                "SEG106",
                f'table "{table.name}" is not in {LOCK_FILE}.',
                "Run `segengine schema pull` again.",
            )
        stored = {}
    types: dict[str, AttributeType] = {}
    for name, text in stored.items():
        if name not in declared and "." not in name and " " not in name and name not in RESERVED:
            types[name] = _with_zone(parse_type(text) or AttributeType(text), table, "", text, settings)
    for name, column in declared.items():
        source = column.source or name
        if stored and source not in stored:
            hint = did_you_mean(source, stored)
            problems.add(column.place, "SEG107", f'table "{table.name}" has no column "{source}".', hint)
            continue
        text = stored.get(source, "")
        found = column.type or parse_type(text) or AttributeType(text or "unknown")
        if column.type is not None and stored and not can_mean(parse_type(text), column.type):
            message = f'column "{source}" of table "{table.name}" is stored as {text} and cannot mean {column.type}.'
            problems.add(column.place, "SEG108", message)
        types[name] = _with_zone(found, table, column.zone, text, settings)
    return types


def _with_zone(type_: AttributeType, table: Table, zone: str, stored: str, settings: Settings) -> AttributeType:
    """Return a timestamp with its zone; one that must declare it and does not becomes unsupported, with the reason.

    A Delta TIMESTAMP is an instant. A Parquet or CSV timestamp may be anything, so its zone has to be said. A zone
    on text or a zone-less timestamp means: wall clock there; without one it is wall clock in the project's.
    """
    if type_.family is not Family.TIMESTAMP:
        return type_
    if table.format != "delta" and not table.is_catalog and not zone:
        return AttributeType("timestamp without a declared zone")
    is_instant = type_.name == "timestamp" and stored == "timestamp"
    if is_instant or (zone == "UTC" and stored != "text"):
        return AttributeType("timestamp" if is_instant else "timestamp_ntz", zone="" if is_instant else "UTC")
    return AttributeType("timestamp_ntz", zone=zone or settings.time_zone)


_WIDENS = {
    "text": {
        "text",
        "integer",
        "decimal",
        "float",
        "double",
        "boolean",
        "date",
        "timestamp",
        "timestamp_ntz",
    },
    "integer": {"integer", "decimal", "float", "double", "text", "boolean"},
    "decimal": {"decimal", "float", "double", "integer", "text"},
    "float": {"float", "double", "decimal"},
    "double": {"double", "decimal"},
    "boolean": {"boolean"},
    "date": {"date"},
    "timestamp": {"timestamp", "timestamp_ntz"},
    "timestamp_ntz": {"timestamp_ntz", "timestamp"},
}


def can_mean(stored: AttributeType | None, declared: AttributeType) -> bool:
    """Return whether a stored type can be read as a declared one without guessing."""
    return stored is not None and declared.name in _WIDENS[stored.name]


def _find_key_issues(settings: Settings, schema: Schema, problems: Problems) -> None:
    """Report keys, time columns and foreign keys that are not columns of their tables."""
    for table in settings.tables.values():
        columns = schema.columns[table.name]
        named = [(name, "key") for name in table.key] + ([(table.at, "at")] if table.at else [])
        for name, role in named:
            if columns and name not in columns:
                hint = did_you_mean(name, columns)
                problems.add(table.place, "SEG107", f'{role} "{name}" is no column of table "{table.name}".', hint)
        at_type = columns.get(table.at)
        if at_type and at_type.family not in (Family.DATE, Family.TIMESTAMP):
            problems.add(table.place, "SEG108", f'at "{table.at}" of table "{table.name}" is {at_type}, no time.')
    for link in settings.relationships:
        columns = schema.columns[link.from_table]
        for name in link.from_columns:
            if columns and name not in columns:
                hint = did_you_mean(name, columns)
                message = f'relationship "{link.name}": "{name}" is no column of table "{link.from_table}".'
                problems.add(link.place, "SEG107", message, hint)
    _find_id_issues(settings, schema, problems)


def _find_id_issues(settings: Settings, schema: Schema, problems: Problems) -> None:
    """Report ids that have no exact text of their own: 1.0 and 1 would be one id or two, as the engine likes."""
    targets = {audience.table for audience in settings.audiences.values()}
    targets |= {link.to_table for link in settings.relationships}
    ids = {(table, name) for table in targets for name in settings.tables[table].key}
    ids |= {(link.from_table, name) for link in settings.relationships for name in link.from_columns}
    for table, name in sorted(ids):
        stored = schema.stored.get(table, {}).get(settings.tables[table].stored_name(name))
        type_ = parse_type(stored) if stored else None
        if type_ is not None and (type_.name in ("float", "double", "boolean") or type_.scale):
            message = f'"{name}" of table "{table}" is used as an id but is stored as {type_}.'
            hint = "Ids are text or whole numbers; convert the column in the source."
            problems.add(settings.tables[table].place, "SEG108", message, hint)
