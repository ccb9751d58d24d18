"""Reading definition files into documents with an id, a name and fields."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from segengine.errors import ConfigError, Place
from segengine.project.model import Definition, State
from segengine.project.names import is_slug, make_slug, with_article
from segengine.project.nodes import Fields, Node, read_documents
from segengine.project.problems import LATER, Problems, did_you_mean
from segengine.project.project_file import Settings

MAX_TAGS = 20
SEGMENT_KINDS = ("segment", "expansion")
ANALYSIS_KINDS = ("suggestion", "insight")
EVALUATED_KINDS = (*SEGMENT_KINDS, "measure", *ANALYSIS_KINDS)
KINDS = (*EVALUATED_KINDS, "consumer")
COMMON_FIELDS = ("kind", "name", "id", "description", "tags", "state", "exempt_from_deactivation", "audience")
AUTO_DEACTIVATED = "AutoDeactivated"
"""The tag of what was deactivated because nobody used it; it does not count among the tags allowed."""


def is_of(kind: str, other: str) -> bool:
    """Return whether a definition is one of a kind as people manage them: expansions are segments."""
    return other == kind or (kind == "segment" and other in SEGMENT_KINDS)


def load_definitions(settings: Settings, problems: Problems) -> list[Definition]:
    """Return every definition of the project's definitions folder, in the order of files and lines."""
    folder = settings.root / settings.definitions
    if not folder.exists():
        problems.add(
            Place(settings.definitions),
            "SEG002",
            "the definitions folder does not exist.",
            "Make it, and put .yml files in it.",
        )
        return []
    files = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.suffix in (".yml", ".yaml"))
    return load_files(files, settings, problems)


def load_files(files: Iterable[Path], settings: Settings, problems: Problems) -> list[Definition]:
    """Return the definitions of the given files."""
    definitions: list[Definition] = []
    for path in files:
        if not path.is_file():
            raise ConfigError(f"There is no file {path}.")
        resolved = path.resolve()
        inside = resolved.is_relative_to(settings.root)
        shown_as = str(resolved.relative_to(settings.root)) if inside else str(path)
        documents, issues = read_documents(path, shown_as)
        problems.issues += issues
        definitions += [found for node in documents if (found := read_definition(node, shown_as, problems))]
    return definitions


def read_definition(node: Node, origin: str, problems: Problems) -> Definition | None:
    """Return a document as a definition, or None where its kind, name or id cannot be told."""
    problems.subject = ""
    if not isinstance(node, Fields):
        problems.wrong_form(node, "a definition", "a mapping that begins with `kind:`")
        return None
    kind = problems.text(node.get("kind"), "kind")
    if kind is None:
        if node.get("kind") is None:
            problems.add(node.place, "SEG202", 'the field "kind" is missing.', f"Known: {', '.join(KINDS)}.")
        return None
    if kind not in KINDS:
        if kind in LATER:
            message = f'kind "{kind}" is not supported by this version yet.'
            problems.add(node.key_place("kind"), "SEG211", message)
            return None
        problems.add(node.key_place("kind"), "SEG210", f'there is no kind "{kind}".', did_you_mean(kind, KINDS))
        return None
    name = problems.text(node.get("name"), "name")
    if name is None:
        if node.get("name") is None:
            problems.add(node.place, "SEG202", f'{with_article(kind)} without the field "name".')
        return None
    given = problems.text(node.get("id"), "id")
    if given is not None and not is_slug(given):
        problems.add(node.key_place("id"), "SEG207", f'id "{given}" is not of the form a-z, 0-9 and _.')
        return None
    identity = given or make_slug(name)
    if not identity:
        message = f'no id can be made from the name "{name}".'
        problems.add(node.key_place("name"), "SEG406", message, "Give it one with `id:`.")
        return None
    return Definition(kind, identity, name, node, origin)


def read_tags(fields: Fields, problems: Problems) -> tuple[str, ...]:
    """Return a definition's tags, each once; too many are reported, and those that look like several."""
    tags = problems.texts(fields.get("tags"), "tags")
    if joined := next((tag for tag in tags if "," in tag), ""):
        hint = f"Write a list: tags: [{', '.join(filter(None, map(str.strip, joined.split(','))))}]."
        problems.add(fields.key_place("tags"), "SEG207", f'the tag "{joined}" has a comma.', hint)
    if len(set(tags) - {AUTO_DEACTIVATED}) > MAX_TAGS:
        problems.add(fields.key_place("tags"), "SEG207", f"{len(tags)} tags, at most {MAX_TAGS} are allowed.")
    return tuple(dict.fromkeys(tags))


def read_state(fields: Fields, problems: Problems) -> State:
    """Return whether a definition takes part in refreshes."""
    states: tuple[State, ...] = ("active", "inactive", "draft")
    chosen = problems.choice(fields.get("state"), "state", states)
    return next((known for known in states if known == chosen), "active")


def read_exemption(fields: Fields, problems: Problems) -> bool:
    """Return whether a definition stays active however long nobody uses it."""
    name = "exempt_from_deactivation"
    return problems.boolean(fields.get(name), name) or False
