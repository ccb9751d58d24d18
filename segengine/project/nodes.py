"""YAML read as text with places.

Values stay text until the attribute they are compared with says how to read them: `01234` keeps its zero,
`NO` is Norway, `0.1` is exact. Every node knows its file and line. PyYAML's C composer is used directly:
it reads 1,000 segments in a fraction of a second, round-trip parsers take several.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from segengine.errors import Issue, Place

_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL_TAG = "tag:yaml.org,2002:null"
_PLAIN_TAGS = "tag:yaml.org,2002:"
_MAX_REPEATED = 10_000  # nodes reached by aliases: they can blow a small file up beyond any memory
_PLAIN_STYLES = (None, "")  # of Python's and of C's composer
_HINTS = {
    "cannot start any token": "Indent with blanks, not with tabs; quote text that begins with %, @ or `.",
    "unexpected end of stream": "Is a quote not closed?",
    "expected ',' or": "Is a bracket not closed?",
    "mapping values are not allowed": "Check the indentation, and quote text that contains a colon.",
    "could not find expected ':'": "Check the indentation, and that every key has a colon.",
    "did not find expected key": "Check the indentation.",
    "did not find expected '-' indicator": "Check the indentation.",
}


@dataclass(frozen=True)
class Scalar:
    """One text value; `text` is None for a plain YAML null."""

    text: str | None
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True)
class Items:
    """A YAML list."""

    nodes: tuple[Node, ...]
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True)
class Fields:
    """A YAML mapping in the order it was written; keys are unique text."""

    entries: tuple[tuple[Scalar, Node], ...]
    place: Place = field(default=Place(), compare=False)

    def get(self, key: str) -> Node | None:
        """Return the node under a key, or None."""
        return next((node for name, node in self.entries if name.text == key), None)

    def keys(self) -> list[str]:
        """Return the keys in order."""
        return [name.text or "" for name, _ in self.entries]

    def key_place(self, key: str) -> Place:
        """Return where a key stands."""
        return next((name.place for name, _ in self.entries if name.text == key), self.place)


Node = Scalar | Items | Fields
Plain = str | None | list["Plain"] | dict[str, "Plain"]


class _YamlProblem(Exception):
    def __init__(self, place: Place, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.issue = Issue(place, "SEG001", "yaml", message, hint)


def read_documents(path: Path, shown_as: str) -> tuple[list[Node], list[Issue]]:
    """Return the documents of one YAML file and what is wrong with it.

    Args:
        path: The file.
        shown_as: Its name in messages, relative to the project.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        return [], [Issue(Place(shown_as), "SEG001", "yaml", f"cannot be read: {error.strerror}.")]
    except UnicodeDecodeError:
        return [], [Issue(Place(shown_as), "SEG001", "yaml", "is not UTF-8 text.", "Save it as UTF-8.")]
    return parse_documents(text, shown_as)


def parse_documents(text: str, shown_as: str) -> tuple[list[Node], list[Issue]]:
    """Return the documents of a YAML text and what is wrong with it; good documents survive bad ones."""
    documents: list[Node] = []
    issues: list[Issue] = []
    try:
        for root in yaml.compose_all(text, Loader=_LOADER):
            try:
                node = _Reader(shown_as).convert(root, ())
            except _YamlProblem as problem:
                issues.append(problem.issue)
                continue
            if not (isinstance(node, Scalar) and node.text is None):
                documents.append(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(shown_as, mark.line + 1, mark.column + 1) if mark else Place(shown_as)
        hint = next((hint for part, hint in _HINTS.items() if part in str(error.problem)), "")
        issues.append(Issue(place, "SEG001", "yaml", f"is not valid YAML: {error.problem}.", hint))
    except (yaml.YAMLError, ValueError) as error:
        reason = str(error).splitlines()[0]
        issues.append(Issue(Place(shown_as), "SEG001", "yaml", f"is not valid YAML: {reason}."))
    except RecursionError:
        issues.append(Issue(Place(shown_as), "SEG001", "yaml", "is nested too deeply to be read."))
    return documents, issues


class _Reader:
    """Turns PyYAML's nodes into ours and refuses what has two readings."""

    def __init__(self, shown_as: str) -> None:
        self._file = shown_as
        self._met: set[int] = set()
        self._repeated = 0

    def _place(self, node: yaml.Node) -> Place:
        return Place(self._file, node.start_mark.line + 1, node.start_mark.column + 1)

    def convert(self, node: yaml.Node, parents: tuple[int, ...]) -> Node:
        place = self._place(node)
        self._repeated += id(node) in self._met
        self._met.add(id(node))
        if id(node) in parents or self._repeated > _MAX_REPEATED:
            raise _YamlProblem(place, "an alias repeats itself without end or too often.")
        if not node.tag.startswith(_PLAIN_TAGS):
            raise _YamlProblem(place, f"the tag {node.tag!r} is not allowed.", "Write the value without a tag.")
        below = (*parents, id(node))
        if isinstance(node, yaml.ScalarNode):
            plain_null = node.tag == _NULL_TAG and node.style in _PLAIN_STYLES
            return Scalar(None if plain_null else node.value, place)
        if isinstance(node, yaml.SequenceNode):
            return Items(tuple(self.convert(item, below) for item in node.value), place)
        if isinstance(node, yaml.MappingNode):
            return Fields(tuple(self._entries(node, below)), place)
        raise _YamlProblem(place, "is neither text, list nor mapping.")

    def _entries(self, node: yaml.MappingNode, below: tuple[int, ...]) -> Iterator[tuple[Scalar, Node]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = self.convert(key_node, below)
            if not isinstance(key, Scalar) or key.text is None:
                raise _YamlProblem(self._place(key_node), "a key must be text.")
            if key.text == "<<" and key_node.style in _PLAIN_STYLES:
                raise _YamlProblem(key.place, "merge keys (<<) are not supported.", "Write the fields out.")
            if key.text in seen:
                raise _YamlProblem(key.place, f"key {key.text!r} stands twice (first in line {seen[key.text]}).")
            seen[key.text] = key.place.line
            yield key, self.convert(value_node, below)


def to_plain(node: Node) -> Plain:
    """Return a node as text, None, lists and dicts (for JSON and YAML output)."""
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Items):
        return [to_plain(item) for item in node.nodes]
    return {key.text or "": to_plain(value) for key, value in node.entries}


def from_plain(value: Plain, place: Place) -> Node:
    """Return the node of plain values, every part of it at the same place."""
    if isinstance(value, dict):
        entries = tuple((Scalar(key, place), from_plain(item, place)) for key, item in value.items())
        return Fields(entries, place)
    if isinstance(value, list):
        return Items(tuple(from_plain(item, place) for item in value), place)
    return Scalar(value, place)


_ODD_BREAKS = "\r\x85\u2028\u2029\ufeff"  # a reader would fold them, or take them for what they are not


class _TextDumper(yaml.SafeDumper):
    """Writes text plain where YAML allows it: our reader takes every scalar as text anyway."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    odd = text in ("<<", "=") or any(mark in text for mark in _ODD_BREAKS)
    style = '"' if odd else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_TextDumper.add_representer(str, _represent_text)
# Without implicit types no text needs quotes for looking like a number, a date or a boolean.
# Null keeps its resolver: the text "null" must be quoted.
_TextDumper.yaml_implicit_resolvers = {
    first: kept
    for first, resolvers in yaml.SafeDumper.yaml_implicit_resolvers.items()
    if (kept := [(tag, pattern) for tag, pattern in resolvers if tag == _NULL_TAG])
}


def dump_documents(documents: Sequence[Plain], *, one_value_a_line: bool = False) -> str:
    """Return plain values as YAML documents that `parse_documents` reads back to the same nodes.

    Args:
        documents: The documents.
        one_value_a_line: No short mappings or lists in one line, for files whose differences are reviewed.
    """
    text = io.StringIO()
    writer = _TextDumper(
        text, sort_keys=False, default_flow_style=False if one_value_a_line else None, allow_unicode=True, width=100
    )
    writer.open()
    for document in documents:
        root = writer.represent_data(document)
        if isinstance(root, yaml.CollectionNode) and root.value:
            root.flow_style = False  # one line a field, also where all of them are short
        writer.serialize(root)
    writer.close()
    return text.getvalue()
