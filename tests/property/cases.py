"""Cases as YAML: a project, its rows, its definitions and what they come to; written by hand or by the shrinker."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from worlds import AS_OF, Case, Row, make_world

GOLDEN = Path(__file__).parents[1] / "golden" / "semantics"
_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True)
class GoldenCase:
    """A case and the answer: members by segment, lines of values by measure; None where there is no result."""

    about: str
    case: Case
    members: Mapping[str, set[str] | None]


class _Loader(yaml.SafeLoader):
    """Reads every scalar as text, except for null."""


_Loader.yaml_implicit_resolvers = {
    first: kept
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    if (kept := [(tag, pattern) for tag, pattern in resolvers if tag == _NULL])
}


class _Line(dict[str, Any]):
    """A mapping written in one line."""


class _Dumper(yaml.SafeDumper):
    """Writes text plain where that can be read back as text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers
_Dumper.add_representer(_Line, lambda dumper, line: dumper.represent_mapping("tag:yaml.org,2002:map", line, True))


def read_case(path: Path) -> GoldenCase:
    """Return the case of a file; tables are at `data/NAME` unless it says otherwise."""
    found = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a safe loader
    project = {"project": "case", "audiences": {"customer": {"table": "customers"}}, **found["project"]}
    project["tables"] = {name: {"path": f"data/{name}", **table} for name, table in project["tables"].items()}
    columns = found["columns"]
    rows = {table: _read_rows(found["rows"].get(table, []), types) for table, types in columns.items()}
    as_of = datetime.fromisoformat(found["as_of"]) if "as_of" in found else AS_OF
    stored = {name: set(members) for name, members in found.get("stored", {}).items()}
    world = make_world(project, columns, rows, as_of)
    case = Case(world, found.get("segments", []), stored, found.get("measures", []))
    answers = {**found.get("members", {}), **found.get("values", {})}
    members: dict[str, set[str] | None] = {name: set(lines) for name, lines in answers.items()}
    return GoldenCase(found["about"], case, members | dict.fromkeys(found.get("failed", [])))


def write_case(golden: GoldenCase) -> str:
    """Return a case as the text of a file."""
    case = golden.case
    measures = {measure["name"] for measure in case.measures}
    answers = {name: found for name, found in golden.members.items() if found is not None}
    document = {
        "about": golden.about,
        "as_of": case.world.as_of.isoformat(),
        "project": dict(case.world.project),
        "columns": {table: {c: t.split()[0] for c, t in own.items()} for table, own in case.world.types.items()},
        "rows": {
            table: [_Line({name: _write(value) for name, value in row.items() if value is not None}) for row in rows]
            for table, rows in case.world.rows.items()
        },
        "stored": {name: sorted(ids) for name, ids in case.stored.items()},
        "measures": list(case.measures),
        "segments": list(case.segments),
        "members": {name: sorted(ids) for name, ids in answers.items() if name not in measures},
        "values": {name: sorted(lines) for name, lines in answers.items() if name in measures},
        "failed": [name for name, ids in golden.members.items() if ids is None],
    }
    kept = {key: value for key, value in document.items() if value or key == "rows"}
    text: str = yaml.dump(kept, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return text


def _read_rows(rows: Sequence[Mapping[str, Any]], types: Mapping[str, str]) -> list[Row]:
    unknown = {name for row in rows for name in row} - set(types)
    assert not unknown, f"columns without a type: {unknown}"
    return [{name: _read(row.get(name), type_) for name, type_ in types.items()} for row in rows]


def _read(text: str | None, type_: str) -> Any:
    if text is None or type_ == "text":
        return text
    if type_ == "boolean":
        return {"true": True, "false": False}[text]
    if type_ == "integer":
        return int(text)
    if type_.startswith("decimal"):
        return Decimal(text)
    if type_ in ("double", "float"):
        return float(np.float32(text)) if type_ == "float" else float(text)
    return date.fromisoformat(text) if type_ == "date" else datetime.fromisoformat(text)


def _write(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "nan" if math.isnan(value) else repr(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)
