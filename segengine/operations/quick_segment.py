"""`quick create`: a segment of one condition, counted before it is recorded; so are other segments commands make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from segengine.errors import ConfigError, DefinitionError, Issue, Place
from segengine.operations.apply import plan_new_definition, record_new_definition
from segengine.operations.context import OpenProject, load_registered
from segengine.operations.definition_plan import DefinitionPlan
from segengine.operations.patterns import find_pattern_issues
from segengine.operations.preview import PreviewedSegment, preview_plan
from segengine.project.catalogue import Catalogue, check_definitions, raise_on_errors
from segengine.project.definitions import load_definitions, read_definition
from segengine.project.model import Definition, Segment
from segengine.project.nodes import Plain, dump_documents, from_plain, read_documents
from segengine.project.problems import Problems
from segengine.project.project_file import Settings
from segengine.project.quick import ORIGIN, PLACE, Known, QuickSegment, write_fields
from segengine.project.schema_lock import load_schema


@dataclass(frozen=True)
class Draft:
    """A quick segment that files alone find nothing wrong with: its fields, and the file it is to be written to."""

    fields: Plain
    definition: Definition
    segment: Segment
    file: Path | None
    in_definitions: bool


@dataclass(frozen=True)
class CountedDraft:
    """A draft with its exact size as of an instant.

    `issues`: what the checks say of it that is no error.
    """

    draft: Draft
    preview: PreviewedSegment
    issues: tuple[Issue, ...]

    @property
    def member_share(self) -> float:
        """The share of the audience's profiles who would be members, 0 to 1."""
        return self.preview.member_count / self.preview.profile_count if self.preview.profile_count else 0.0


def draft_segment(
    settings: Settings, quick: QuickSegment, file: Path | None = None, applied: Catalogue | None = None
) -> Draft:
    """Return a quick segment as a checked definition; starts no engine.

    Args:
        settings: The project.
        quick: What it is made of.
        file: A definition file it is to be written to as well, behind what is there.
        applied: What is applied, for segments of measures.

    Raises:
        ConfigError: The source has no such thing, the audience is not clear, or the file cannot take it.
        DefinitionError: Attribute, operator and value do not fit each other: the issues a file would have.
    """
    problems = Problems()
    schema = load_schema(settings, problems)
    raise_on_errors(problems)
    return draft_fields(settings, write_fields(quick, Known(settings, schema, applied)), PLACE, file, applied)


def draft_fields(
    settings: Settings,
    written: Mapping[str, Plain],
    place: Place,
    file: Path | None = None,
    applied: Catalogue | None = None,
) -> Draft:
    """Return the fields of a segment that a command made as a checked definition; starts no engine.

    Args:
        settings: The project.
        written: The fields.
        place: What issues name as their place.
        file: A definition file it is to be written to as well, behind what is there.
        applied: What is applied, for segments of measures or other segments.

    Raises:
        ConfigError: The file cannot take it.
        DefinitionError: The issues a file would have.
    """
    problems = Problems()
    schema = load_schema(settings, problems)
    raise_on_errors(problems)
    fields: Plain = dict(written)
    definition = read_definition(from_plain(fields, place), ORIGIN, problems)
    raise_on_errors(problems)
    if definition is None:  # pragma: no cover - every reason is an error
        raise DefinitionError(problems.issues)
    others = applied.definitions.values() if applied else ()
    catalogue = check_definitions([*others, definition], settings, schema, problems)
    problems.issues = [issue for issue in problems.issues if issue.place == place]  # the others are applied as they are
    raise_on_errors(problems)
    problems.issues += find_pattern_issues(catalogue.segments[definition.id])
    raise_on_errors(problems)
    in_definitions = _check_file(settings, definition, file) if file else False
    return Draft(fields, definition, catalogue.segments[definition.id], file, in_definitions)


def load_measures(project: OpenProject) -> Catalogue | None:
    """Return what is applied, for quick segments of measures; None where nothing is.

    Raises:
        DefinitionError: An applied definition no longer fits the project.
    """
    try:
        return load_registered(project)[0]
    except ConfigError:  # nothing is applied yet
        return None


def count_draft(project: OpenProject, draft: Draft, *, as_of: datetime | None = None) -> CountedDraft:
    """Return a draft with the members it would have, checked beside everything that is applied; publishes nothing.

    Raises:
        DefinitionError: Its name or output table is taken.
        DataContractError: A source is not as the project says.
        RunError: The engine failed.
    """
    plan = plan_new_definition(project, draft.definition, in_file=draft.in_definitions)
    (preview,) = preview_plan(project, plan, as_of=as_of)
    return CountedDraft(draft, preview, tuple(issue for issue in plan.issues if issue.place == draft.definition.place))


def record_draft(project: OpenProject, draft: Draft) -> DefinitionPlan:
    """Record a draft in the registry, and write it to its file.

    Raises:
        DefinitionError: Its name or output table has been taken meanwhile.
        LeaseHeldError: Somebody else is applying definitions.
        ConfigError: It is recorded, but the file could not be written.
    """
    plan = record_new_definition(project, draft.definition, in_file=draft.in_definitions)
    if draft.file:
        _append(draft.file, draft.fields)
    return plan


def _check_file(settings: Settings, definition: Definition, file: Path) -> bool:
    """Return whether a file is one that `apply` reads by itself, after checking that it can take a definition."""
    if file.suffix not in (".yml", ".yaml"):
        raise ConfigError(f"Definitions are read from .yml and .yaml files, not from {file}.", "Rename it.")
    folder = (settings.root / settings.definitions).resolve()
    resolved = file.resolve()
    in_definitions = resolved == folder or resolved.is_relative_to(folder)
    if file.exists():
        _, issues = read_documents(file, str(file))
        if issues:
            raise DefinitionError(issues)
    elif not file.parent.is_dir():
        raise ConfigError(f"There is no folder {file.parent}.", "Make it, or choose another file.")
    for other in load_definitions(settings, Problems()) if in_definitions else ():
        if other.id == definition.id:
            message = f'The definition files have "{other.name}" already, with the id "{other.id}": {other.place}.'
            raise ConfigError(message, "Choose another name.")
    return in_definitions


def _append(file: Path, fields: Plain) -> None:
    try:
        before = file.read_text(encoding="utf-8-sig") if file.exists() else ""
        gap = "" if not before.strip() else "---\n" if before.endswith("\n") else "\n---\n"
        with file.open("a", encoding="utf-8") as text:
            text.write(gap + dump_documents([fields]))
    except OSError as error:
        message = f"The segment is recorded, but {file} cannot be written: {error.strerror}."
        raise ConfigError(message, "`segengine get NAME` prints it.") from error
