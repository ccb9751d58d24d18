"""Random projects and their rows: tables, types and links drawn anew for each, rows as ugly as sources have them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from random_values import AS_OFS, TEXTS, draw_pool
from worlds import World, make_world

ZONES = (
    *("America/Los_Angeles", "America/Sao_Paulo", "Asia/Beirut", "Australia/Lord_Howe", "UTC", "Europe/Berlin"),
    *("Asia/Kolkata", "Pacific/Auckland"),
)
PROFILES = ("customers", "people", "Members")
DIMENSIONS = ("stores", "products", "regions")
FACTS = ("purchases", "visits", "cards", "swipes")
TYPES = (
    *("text", "text", "text", "integer", "integer", "decimal(12,2)", "decimal(38,6)", "decimal(38,0)", "decimal(5,5)"),
    *("double", "double", "float", "boolean", "date", "date", "date"),
    *("timestamp", "timestamp", "timestamp", "timestamp_ntz"),
)
COLUMNS = (
    *("amount", "quantity", "channel", "seen", "since", "level", "score", "city", "note", "größe", "flag", "weight"),
    *("started", "code", "kind", "rank"),
)
KEY_TYPES = ("integer", "integer", "text", "text", "decimal(10,0)")
FOREIGN_TYPES = {"integer": ("integer", "integer", "text", "decimal(10,0)"), "text": ("text",)}
ID_TEXTS = ("A", "a ", " a", "01", "1", "😀", "é", "e\u0301", "İ", "null", "%", "1.0", "A B", "ß")


@dataclass
class _Project:
    """A project while it is drawn: columns and their types, keys, and relationships as they are written."""

    choose: random.Random
    zone: str
    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    keys: dict[str, list[str]] = field(default_factory=dict)
    settings: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    relationships: list[dict[str, str]] = field(default_factory=list)

    def add_table(self, name: str, key_size: int, column_count: int) -> None:
        key = [f"{name[:-1].lower()}_id", "variant"][:key_size]
        own = {column: self.choose.choice(KEY_TYPES) for column in key}
        for column in self.choose.sample(COLUMNS, column_count):
            own[column] = self.choose.choice(TYPES)
        self.columns[name], self.keys[name], self.settings[name] = own, key, {}
        for column, type_ in own.items():
            if type_ == "timestamp_ntz" and self.choose.random() < 0.5:
                self.settings[name][column] = {"zone": self.choose.choice(ZONES)}

    def link(self, source: str, target: str, name: str, one_to_one: bool = False) -> None:
        """Add a relationship and its foreign key, whose type may be another one than the key's."""
        foreign = {}
        for column in self.keys[target]:
            suffix = "id" if column.endswith("_id") else column
            type_ = self.columns[target][column]
            foreign[f"{name}_{suffix}"] = self.choose.choice(FOREIGN_TYPES.get(type_, (type_, "integer", "text")))
        self.columns[source].update(foreign)
        names = ", ".join(foreign)
        written = {"from": f"{source}.[{names}]" if len(foreign) > 1 else f"{source}.{names}", "to": target}
        if len(foreign) > 1 or self.choose.random() < 0.5:
            written["name"] = name
        if one_to_one:
            written["one_to_one"] = "true"
        self.relationships.append(written)

    def document(self, profile: str) -> dict[str, Any]:
        """Return the content of the project file."""
        tables: dict[str, Any] = {}
        for name, key in self.keys.items():
            tables[name] = {"path": f"data/{name}", "key": key[0] if len(key) == 1 else key}
            if self.settings[name]:
                tables[name]["columns"] = self.settings[name]
        return {
            "project": "random",
            "time_zone": self.zone,
            "tables": tables,
            "relationships": self.relationships,
            "audiences": {"customer": {"table": profile}},
        }


def _draw_project(choose: random.Random) -> tuple[_Project, str]:
    """Return a project and its profile table: dimensions, facts, linking tables, several chains, self-links."""
    project = _Project(choose, choose.choice(ZONES))
    profile = choose.choice(PROFILES)
    dimensions = choose.sample(DIMENSIONS, choose.choice((1, 2, 3)))
    facts = choose.sample(FACTS, choose.choice((2, 3, 3, 4)))
    project.add_table(profile, 1, choose.randrange(5, 10))
    for name in dimensions:
        project.add_table(name, choose.choice((1, 1, 2)), choose.randrange(2, 5))
    for name in facts:
        project.add_table(name, choose.choice((1, 1, 1, 2)), choose.randrange(3, 8))
    for place, name in enumerate(dimensions):
        for above in dimensions[:place]:
            if choose.random() < 0.6:
                project.link(name, above, f"in_{above[:-1]}")
        if choose.random() < 0.3:
            project.link(name, profile, "manager")
        if choose.random() < 0.5:
            project.link(profile, name, f"home_{name[:-1]}")
    if choose.random() < 0.8:
        project.link(profile, profile, "referred_by")
    for place, name in enumerate(facts):
        _link_fact(project, name, facts[:place], dimensions, profile)
    if choose.random() < 0.6:
        project.add_table("churn", 1, 3)
        project.link("churn", profile, "subject", one_to_one=True)
    return project, profile


def _link_fact(project: _Project, name: str, facts: Sequence[str], dimensions: Sequence[str], profile: str) -> None:
    choose = project.choose
    through = choose.choice(facts) if facts and choose.random() < 0.5 else None
    if through:
        project.link(name, through, f"of_{through[:-1]}")
    if not through or choose.random() < 0.3:
        project.link(name, profile, "buyer")
    if choose.random() < 0.2:
        project.link(name, profile, "payer")
    for dimension in dimensions:
        if choose.random() < 0.5:
            project.link(name, dimension, f"at_{dimension[:-1]}")


def random_world(choose: random.Random, profile_count: int = 14, row_count: int = 40) -> World:
    """Return a project with rows whose links are sometimes missing, unknown or broken."""
    project, profile = _draw_project(choose)
    as_of = datetime.fromisoformat(choose.choice(AS_OFS)).replace(tzinfo=UTC)
    counts = {profile: profile_count, **{name: choose.choice((3, 5)) for name in DIMENSIONS}}
    counts["churn"] = profile_count // 2
    keys = {
        table: _draw_keys(choose, [project.columns[table][name] for name in key], counts.get(table, row_count))
        for table, key in project.keys.items()
    }
    rows = {}
    for table, own in project.columns.items():
        drawn = [dict(zip(project.keys[table], key, strict=True)) for key in keys[table]]
        for column, type_ in own.items():
            if column not in project.keys[table]:
                _fill(choose, drawn, column, _with_zone(type_, project.settings[table], column), as_of, project.zone)
        rows[table] = drawn
    for written in project.relationships:
        _fill_links(choose, written, project, keys, rows)
    return make_world(project.document(profile), project.columns, rows, as_of)


def _with_zone(type_: str, settings: dict[str, dict[str, str]], column: str) -> str:
    return f"{type_} {settings.get(column, {}).get('zone', '')}".strip()


def _draw_keys(choose: random.Random, types: Sequence[str], count: int) -> list[tuple[Any, ...]]:
    """Return distinct keys whose texts are distinct too."""
    found: dict[tuple[str, ...], tuple[Any, ...]] = {}
    while len(found) < count:
        key = tuple(_draw_key(choose, type_, count) for type_ in types)
        found.setdefault(tuple(map(str, key)), key)
    return list(found.values())


def _draw_key(choose: random.Random, type_: str, count: int) -> Any:
    if type_ == "text":
        return choose.choice(ID_TEXTS) if choose.random() < 0.3 else f"k{choose.randrange(count)}"
    number = choose.choice((0, -1, 7_000_000_000)) if choose.random() < 0.1 else choose.randrange(2 * count)
    return number if type_ == "integer" else Decimal(number)


def _fill(
    choose: random.Random, rows: list[dict[str, Any]], column: str, type_: str, as_of: datetime, zone: str
) -> None:
    pool = draw_pool(choose, type_, as_of, zone)
    missing = choose.choice((0, 0.1, 0.3))
    for row in rows:
        row[column] = None if choose.random() < missing else choose.choice(pool)


def _fill_links(
    choose: random.Random,
    written: dict[str, str],
    project: _Project,
    keys: dict[str, list[tuple[Any, ...]]],
    rows: dict[str, list[dict[str, Any]]],
) -> None:
    """Fill a foreign key: mostly with keys of few rows; missing, unknown and nearly right ones among them."""
    source, _, names = written["from"].partition(".")
    columns = [name.strip() for name in names.strip("[]").split(",")]
    known = list(keys[written["to"]])
    choose.shuffle(known)
    used = known if "one_to_one" in written else known[: max(1, len(known) * 2 // 3)]
    for place, row in enumerate(rows[source]):
        key = used[place] if "one_to_one" in written else choose.choice(used)
        values = [_as_type(part, project.columns[source][name]) for name, part in zip(columns, key, strict=True)]
        if choose.random() < 0.15 and "one_to_one" not in written:
            spoilt = choose.randrange(len(values))
            values[spoilt] = _spoil(choose, values[spoilt])
        row.update(zip(columns, values, strict=True))


def _as_type(value: Any, type_: str) -> Any:
    """Return a key's value as its foreign key has it."""
    if type_ == "text":
        return str(value)
    return int(value) if type_ == "integer" else Decimal(value)


def _spoil(choose: random.Random, value: Any) -> Any:
    if isinstance(value, str):
        return choose.choice((None, "", value + " ", value.swapcase(), "0" + value, choose.choice(TEXTS)))
    return choose.choice((None, value + 100_000, -value - 5))
