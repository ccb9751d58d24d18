"""What an operation works on: the project, and a session with its warehouse while one is open."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from segengine.engine.session import EngineSession, open_session
from segengine.errors import ConfigError
from segengine.project.broken import keep_broken
from segengine.project.catalogue import Catalogue, check_definitions, raise_on_errors
from segengine.project.problems import Problems
from segengine.project.project_file import Schema, Settings
from segengine.project.schema_lock import load_schema
from segengine.project.settings import load_settings
from segengine.project.types import LiteralError, parse_instant
from segengine.store.control import Control, ControlRow
from segengine.store.registry import Registry, read_registry
from segengine.store.runs import History, read_history
from segengine.store.warehouse import Warehouse, open_warehouse


@dataclass
class LastChecked:
    """The applied definitions as they were last checked, and what the result depends on."""

    registry: Registry | None = None
    schema: Schema | None = None
    catalogue: Catalogue | None = None


@dataclass(frozen=True)
class OpenProject:
    """A project with a session: what every operation on data takes.

    `last_checked`: a thousand definitions take seconds to check, and many questions may be asked in one session.
    """

    settings: Settings
    session: EngineSession
    warehouse: Warehouse
    last_checked: LastChecked = field(default_factory=LastChecked, repr=False, compare=False)


def open_settings(folder: Path | str, environment: str = "", engine: str = "") -> Settings:
    """Return a project's settings, with another engine than its own where one is given."""
    settings = load_settings(Path(folder), environment)
    return replace(settings, engine=engine) if engine else settings


@contextmanager
def open_project(settings: Settings, spark: object | None = None) -> Iterator[OpenProject]:
    """Yield the project with a session of its engine; `spark` is a session to use instead of starting one."""
    with open_session(settings.engine, spark=spark) as session:  # type: ignore[arg-type] # callers need no pyspark
        yield OpenProject(settings, session, open_warehouse(session, settings))


def load_registered(project: OpenProject) -> tuple[Catalogue, Registry]:
    """Return the applied definitions, resolved and checked, and the registry they come from.

    Those that no longer fit the project are there as broken ones: a refresh fails them, and them alone.

    Raises:
        ConfigError: Nothing has been applied yet.
        DefinitionError: The project's schema is not known.
    """
    registry = read_registry(project.warehouse)
    if not registry.live():
        raise ConfigError("No definitions are applied yet.", "Run `segengine apply`.")
    problems = Problems()
    schema = load_schema(project.settings, problems)
    raise_on_errors(problems)
    last = project.last_checked
    if last.catalogue is None or (last.registry, last.schema) != (registry, schema):
        last.catalogue = _check_registered(project.settings, registry, schema, problems)
        last.registry, last.schema = registry, schema
    return last.catalogue, registry


def _check_registered(settings: Settings, registry: Registry, schema: Schema, problems: Problems) -> Catalogue:
    definitions = [record.as_definition() for record in registry.live().values()]
    catalogue = check_definitions(definitions, settings, schema, problems)
    deleted = {known.id: f'{known.kind} "{known.name}"' for known in registry.newest.values() if known.removed}
    return keep_broken(catalogue, problems.issues, deleted)


def read_state(project: OpenProject) -> tuple[ControlRow | None, History]:
    """Return the control row and what is published; None and nothing before the first refresh."""
    control = Control(project.warehouse, "control")
    if not project.warehouse.exists(control.table):
        return None, History()
    row = control.read()
    return row, read_history(project.warehouse, row)


def parse_as_of(text: str, zone: str) -> datetime:
    """Return the instant that a text means: RFC 3339, or a date: the last microsecond of that local day.

    Raises:
        ConfigError: The text is neither.
    """
    try:
        day = date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        day = None
    if day is not None:
        following = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(zone))
        return following.astimezone(UTC) - timedelta(microseconds=1)
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=parse_instant(text, zone))
    except LiteralError as error:
        raise ConfigError(f"time {text!r}: {error}.", "Examples: 2026-06-30, 2026-06-30T06:00:00Z.") from None


def find_author() -> str:
    """Return who to name as the author of a change: SEGENGINE_AUTHOR, else the user of this process."""
    try:
        return os.environ.get("SEGENGINE_AUTHOR") or getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
