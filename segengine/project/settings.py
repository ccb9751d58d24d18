"""Reading `segengine.yml`."""

from __future__ import annotations

import re
from pathlib import Path

from segengine.errors import ConfigError, DefinitionError, Place
from segengine.project.activities import read_activities
from segengine.project.audiences import read_audiences
from segengine.project.keep import read_keep
from segengine.project.nodes import Fields, Items, Node, Scalar, read_documents
from segengine.project.operating import SYSTEM_PERIODS, read_schedule
from segengine.project.operators import BY_NAME, MODIFIERS
from segengine.project.problems import Problems, did_you_mean
from segengine.project.project_file import ColumnSetting, Relationship, Settings, Table, TableFormat
from segengine.project.tracking import read_tracking
from segengine.project.types import AttributeType, is_time_zone, parse_type

PROJECT_FILE = "segengine.yml"
PROJECT_FIELDS = (
    "project",
    "time_zone",
    "warehouse",
    "definitions",
    "engine",
    "tables",
    "relationships",
    "audiences",
    "activities",
    "schedule",
    "keep",
    "suppress_key",
    "mlflow",
    "environments",
)
TABLE_FIELDS = ("path", "catalog", "format", "key", "at", "columns", "prediction")
COLUMN_FIELDS = ("type", "from", "label", "zone")
RELATIONSHIP_FIELDS = ("from", "to", "name", "one_to_one")
RESERVED = frozenset({"all", "any", "in_segment", "everyone", *BY_NAME, *MODIFIERS})
_SHORT_LINK = re.compile(r"\s*([^.\s]+)\.([^\s]+)\s*->\s*([^.\s]+)\s*")
_ENGINE = re.compile(r"embedded|spark|sc://.+")


def load_settings(folder: Path, environment: str = "") -> Settings:
    """Return the project of a folder, with an environment's overlay.

    Raises:
        ConfigError: There is no project file, or no such environment.
        DefinitionError: The file has errors; all of them are listed.
    """
    path = folder / PROJECT_FILE
    if not path.is_file():
        raise ConfigError(
            f"There is no {PROJECT_FILE} in {folder.resolve()}.",
            "Run `segengine init DIR` for a new project, `segengine demo` for an example, or use --conf FOLDER.",
        )
    documents, issues = read_documents(path, PROJECT_FILE)
    if issues:
        raise DefinitionError(issues)
    problems = Problems()
    root = problems.fields(documents[0] if documents else None, PROJECT_FILE, PROJECT_FIELDS, "SEG101")
    if root is None:
        problems.add(Place(PROJECT_FILE), "SEG101", "the project file is empty.")
        raise DefinitionError(problems.issues)
    settings = _read_settings(_overlay(root, environment), folder.resolve(), environment, problems)
    if problems.error_count:
        raise DefinitionError(problems.issues)
    return settings


def _overlay(root: Fields, environment: str) -> Fields:
    """Return the project's fields with those of the environment laid over them, mapping by mapping."""
    base = Fields(tuple((key, node) for key, node in root.entries if key.text != "environments"), root.place)
    if not environment:
        return base
    environments = root.get("environments")
    known = environments.keys() if isinstance(environments, Fields) else []
    overlay = environments.get(environment) if isinstance(environments, Fields) else None
    if not isinstance(overlay, Fields):
        raise ConfigError(f"{PROJECT_FILE} has no environment {environment!r}.", did_you_mean(environment, known))
    return _merge(base, overlay)


def _merge(base: Fields, overlay: Fields) -> Fields:
    merged: dict[str, tuple[Scalar, Node]] = {key.text or "": (key, node) for key, node in base.entries}
    for key, node in overlay.entries:
        below = merged.get(key.text or "")
        if below and isinstance(below[1], Fields) and isinstance(node, Fields):
            node = _merge(below[1], node)
        merged[key.text or ""] = (key, node)
    return Fields(tuple(merged.values()), base.place)


def _read_settings(root: Fields, folder: Path, environment: str, problems: Problems) -> Settings:
    for name in ("project", "tables", "audiences"):
        if root.get(name) is None:
            problems.add(root.place, "SEG101", f'the field "{name}" is missing.')
    zone = problems.text(root.get("time_zone"), "time_zone") or "UTC"
    if not is_time_zone(zone):
        place = root.key_place("time_zone")
        problems.add(place, "SEG102", f"time_zone {zone!r} is no zone of the IANA database.", "Example: Europe/Berlin.")
        zone = "UTC"
    engine = problems.text(root.get("engine"), "engine") or "embedded"
    if not _ENGINE.fullmatch(engine):
        place = root.key_place("engine")
        problems.add(place, "SEG102", f"engine {engine!r} is none of embedded, spark, sc://host:port.")
    tables = _read_tables(root.get("tables"), problems)
    relationships = _read_relationships(root.get("relationships"), tables, problems)
    audiences = read_audiences(root.get("audiences"), tables, relationships, problems)
    _check_predictions(tables, relationships, {audience.table for audience in audiences.values()}, problems)
    return Settings(
        project=problems.text(root.get("project"), "project") or "",
        root=folder,
        time_zone=zone,
        warehouse=problems.text(root.get("warehouse"), "warehouse") or "warehouse/",
        definitions=problems.text(root.get("definitions"), "definitions") or "definitions/",
        engine=engine,
        tables=tables,
        relationships=relationships,
        audiences=audiences,
        environment=environment,
        activities=read_activities(root.get("activities"), tables, problems),
        schedule=read_schedule(root.get("schedule"), "schedule", SYSTEM_PERIODS, zone, problems),
        keep=read_keep(root.get("keep"), problems),
        suppress_key=_read_variable(root, "suppress_key", problems),
        tracking=read_tracking(root.get("mlflow"), problems),
    )


def _read_variable(root: Fields, name: str, problems: Problems) -> str:
    """Return the name of an environment variable; a secret itself is not to be in the file, nor in a message."""
    text = problems.text(root.get(name), name) or ""
    if text and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", text):
        message = f"{name} is no name of an environment variable: capital letters, digits and _."
        problems.add(root.key_place(name), "SEG102", message, "Example: SEGENGINE_SUPPRESS_KEY.")
    return text


def _read_tables(node: Node | None, problems: Problems) -> dict[str, Table]:
    tables: dict[str, Table] = {}
    if node is not None and not isinstance(node, Fields):
        problems.wrong_form(node, "tables", "a mapping of names to tables")
        return tables
    for key, value in node.entries if node else ():
        name = key.text or ""
        problems.subject = f'table "{name}"'
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            problems.add(key.place, "SEG105", "a table's name is letters, digits and _, not starting with a digit.")
        fields = problems.fields(value, "a table", TABLE_FIELDS, "SEG101")
        if fields is not None:
            tables[name] = _read_table(name, key.place, fields, problems)
    problems.subject = ""
    return tables


def _read_table(name: str, place: Place, fields: Fields, problems: Problems) -> Table:
    path = problems.text(fields.get("path"), "path")
    catalog = problems.text(fields.get("catalog"), "catalog")
    if (path is None) == (catalog is None):
        problems.add(place, "SEG101", "give exactly one of path and catalog.")
    formats: tuple[TableFormat, ...] = ("delta", "parquet", "csv")
    chosen = problems.choice(fields.get("format"), "format", formats)
    key = problems.texts(fields.get("key"), "key")
    if not key:
        problems.add(
            place,
            "SEG101",
            "the key is missing.",
            "Name the column, or the list of columns, that tells rows apart.",
        )
    return Table(
        name=name,
        location=catalog or path or "",
        is_catalog=catalog is not None,
        format=next((known for known in formats if known == chosen), "delta"),
        key=key,
        at=problems.text(fields.get("at"), "at") or "",
        columns=_read_columns(fields.get("columns"), problems),
        prediction=bool(problems.boolean(fields.get("prediction"), "prediction")),
        place=place,
    )


def _check_predictions(
    tables: dict[str, Table], relationships: tuple[Relationship, ...], profile_tables: set[str], problems: Problems
) -> None:
    """Report prediction tables that profiles have no one row of."""
    for table in tables.values():
        links = [link for link in relationships if link.from_table == table.name and link.one_to_one]
        if table.prediction and profile_tables and not any(link.to_table in profile_tables for link in links):
            message = f'table "{table.name}" is a prediction, but no one-to-one relationship leads to profiles.'
            profiles = " or ".join(sorted(profile_tables))
            hint = f"Add one: `{{from: {table.name}.COLUMN, to: {profiles}, one_to_one: true}}`."
            problems.add(table.place, "SEG104", message, hint)


def _read_columns(node: Node | None, problems: Problems) -> tuple[ColumnSetting, ...]:
    if node is None:
        return ()
    if not isinstance(node, Fields):
        problems.wrong_form(node, "columns", "a mapping of names to what is meant")
        return ()
    columns = []
    for key, value in node.entries:
        fields = problems.fields(value, f'column "{key.text}"', COLUMN_FIELDS, "SEG101")
        if fields is None:
            continue
        _check_name(key, problems)
        columns.append(
            ColumnSetting(
                name=key.text or "",
                type=_read_type(fields.get("type"), problems),
                source=problems.text(fields.get("from"), "from") or "",
                label=problems.text(fields.get("label"), "label") or "",
                zone=_read_zone(fields.get("zone"), problems),
                place=key.place,
            )
        )
    return tuple(columns)


def _check_name(key: Scalar, problems: Problems) -> None:
    name = key.text or ""
    if name in RESERVED:
        problems.add(key.place, "SEG105", f'"{name}" is a keyword.', "Give the column another name with `from:`.")
    elif "." in name or " " in name:
        problems.add(key.place, "SEG105", f'a column named "{name}" cannot be used: it has a dot or a space.')


def _read_type(node: Node | None, problems: Problems) -> AttributeType | None:
    text = problems.text(node, "type")
    if text is None or node is None:
        return None
    type_ = parse_type(text)
    if type_ is None:
        hint = "Known: text, integer, decimal(p,s), float, double, boolean, date, timestamp, timestamp_ntz."
        problems.add(node.place, "SEG102", f"there is no type {text!r}.", hint)
    return type_


def _read_zone(node: Node | None, problems: Problems) -> str:
    zone = problems.text(node, "zone") or ""
    if zone and node is not None and not is_time_zone(zone):
        problems.add(node.place, "SEG102", f"zone {zone!r} is no zone of the IANA database.")
        return ""
    return zone


def _read_relationships(node: Node | None, tables: dict[str, Table], problems: Problems) -> tuple[Relationship, ...]:
    if node is None:
        return ()
    if not isinstance(node, Items):
        problems.wrong_form(node, "relationships", "a list")
        return ()
    links: list[Relationship] = []
    for item in node.nodes:
        link = _read_relationship(item, tables, problems)
        if link is None:
            continue
        if any(other.from_table == link.from_table and other.name == link.name for other in links):
            hint = "Give one of them another `name`."
            problems.add(link.place, "SEG104", f'table "{link.from_table}" has two relationships "{link.name}".', hint)
        links.append(link)
    for link in links:
        taken = [(o.from_table, o.name) for o in links] + [(o.to_table, o.from_table) for o in links if o.one_to_one]
        if link.one_to_one and taken.count((link.to_table, link.from_table)) > 1:
            message = f'"{link.from_table}" means two things seen from table "{link.to_table}".'
            problems.add(link.place, "SEG104", message, "Give the other relationship a `name`.")
    return tuple(links)


def _read_relationship(item: Node, tables: dict[str, Table], problems: Problems) -> Relationship | None:
    if isinstance(item, Scalar):
        matched = _SHORT_LINK.fullmatch(item.text or "")
        if not matched:
            problems.add(item.place, "SEG104", f"{item.text!r} is not of the form `table.column -> table`.")
            return None
        source, target, name, one_to_one = f"{matched[1]}.{matched[2]}", matched[3], "", False
    else:
        fields = problems.fields(item, "a relationship", RELATIONSHIP_FIELDS, "SEG101")
        if fields is None:
            return None
        source = problems.text(fields.get("from"), "from") or ""
        target = problems.text(fields.get("to"), "to") or ""
        name = problems.text(fields.get("name"), "name") or ""
        one_to_one = bool(problems.boolean(fields.get("one_to_one"), "one_to_one"))
    return _make_relationship(item.place, source, target, name, one_to_one, tables, problems)


def _make_relationship(
    place: Place,
    source: str,
    target: str,
    name: str,
    one_to_one: bool,
    tables: dict[str, Table],
    problems: Problems,
) -> Relationship | None:
    table, _, column = source.partition(".")
    columns = tuple(part.strip() for part in column.strip("[]").split(",")) if column else ()
    for known in (table, target):
        if known not in tables:
            problems.add(place, "SEG103", f'there is no table "{known}".', did_you_mean(known, tables))
            return None
    if not columns or not all(columns):
        problems.add(place, "SEG104", f"{source!r} names no column.", "Write `table.column` or `table.[a, b]`.")
        return None
    if len(columns) != len(tables[target].key):
        key = ", ".join(tables[target].key)
        message = f'{len(columns)} column(s) point to table "{target}", whose key is {key}.'
        problems.add(place, "SEG104", message)
        return None
    if not name and len(columns) > 1:
        problems.add(place, "SEG104", "a relationship over several columns needs a `name`.")
        return None
    name = name or columns[0].removesuffix("_id")
    if name in RESERVED:
        problems.add(place, "SEG105", f'a relationship cannot be named "{name}": it is a keyword.', "Give it a `name`.")
    return Relationship(name, table, columns, target, one_to_one, place)
