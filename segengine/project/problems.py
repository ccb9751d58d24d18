"""Collecting what is wrong, with stable codes and a hint."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from segengine.errors import Issue, Level, Place
from segengine.project.nodes import Fields, Items, Node, Scalar

CODES = {
    "SEG001": "yaml",
    "SEG002": "no-definitions",
    "SEG101": "project-field",
    "SEG102": "project-value",
    "SEG103": "unknown-table",
    "SEG104": "relationship",
    "SEG105": "reserved-name",
    "SEG106": "no-schema-lock",
    "SEG107": "unknown-column",
    "SEG108": "column-type",
    "SEG201": "unknown-field",
    "SEG202": "missing-field",
    "SEG203": "wrong-form",
    "SEG204": "unknown-attribute",
    "SEG205": "unknown-operator",
    "SEG206": "operator-type",
    "SEG207": "bad-value",
    "SEG208": "null-value",
    "SEG209": "unsupported-type",
    "SEG210": "unknown-kind",
    "SEG211": "not-yet-supported",
    "SEG221": "unknown-path",
    "SEG222": "ambiguous-path",
    "SEG223": "quantifier",
    "SEG224": "profile-condition",
    "SEG225": "aggregate",
    "SEG226": "joined-rows",
    "SEG227": "profiles-without-rows",
    "SEG228": "attach",
    "SEG229": "measure",
    "SEG230": "expression",
    "SEG231": "dimension",
    "SEG232": "template",
    "SEG233": "schedule",
    "SEG234": "gates",
    "SEG235": "expansion",
    "SEG236": "analysis",
    "SEG301": "empty-rule",
    "SEG302": "contradiction",
    "SEG303": "always-true",
    "SEG304": "without-effect",
    "SEG305": "bare-operator",
    "SEG401": "duplicate-definition",
    "SEG402": "duplicate-output-table",
    "SEG403": "unknown-segment",
    "SEG404": "cycle",
    "SEG405": "audience",
    "SEG406": "no-slug",
    "SEG407": "many-definitions",
}


# Words of the language that later versions know; each leaves this list when its meaning arrives.
LATER = frozenset({"export"})


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """Return `Did you mean "x"?` for the nearest known name, or the names where they are few."""
    names = sorted(set(known))
    lowered = {name.lower(): name for name in reversed(names)}
    near = difflib.get_close_matches(found.lower(), list(lowered), n=1, cutoff=0.6)
    if near:
        return f'Did you mean "{lowered[near[0]]}"?'
    if 0 < len(names) <= 12:
        return f"Known: {', '.join(names)}."
    return ""


def show_node(node: Node) -> str:
    """Return what a user wrote, in flow style and cut off where it is long."""
    return textwrap.shorten(_flow(node), 60, placeholder=" ...")


def _flow(node: Node) -> str:
    if isinstance(node, Scalar):
        return "null" if node.text is None else node.text or '""'
    if isinstance(node, Items):
        return f"[{', '.join(_flow(item) for item in node.nodes)}]"
    return "{" + ", ".join(f"{key.text}: {_flow(value)}" for key, value in node.entries) + "}"


class Problems:
    """A list of issues that checks write to; `subject` names the definition being read."""

    def __init__(self) -> None:
        self.issues: list[Issue] = []
        self.subject = ""

    def add(self, place: Place, code: str, message: str, hint: str = "", level: Level = Level.ERROR) -> None:
        """Add one issue; its message gets the subject in front."""
        text = f"{self.subject}: {message}" if self.subject else message
        self.issues.append(Issue(place, code, CODES[code], text, hint, level))

    @property
    def error_count(self) -> int:
        """How many errors there are so far."""
        return sum(issue.level is Level.ERROR for issue in self.issues)

    def fields(
        self,
        node: Node | None,
        what: str,
        known: Iterable[str],
        code: str = "SEG201",
        hints: Mapping[str, str] = MappingProxyType({}),
    ) -> Fields | None:
        """Return a mapping whose keys are all known, or None; unknown keys are reported but survive.

        `hints`: what to say of keys that are not known here, but mean something elsewhere.
        """
        if not isinstance(node, Fields):
            if node is not None:
                self.wrong_form(node, what, "a mapping (key: value)")
            return None
        names = list(known)
        for key, _ in node.entries:
            if key.text in LATER:
                self.add(key.place, "SEG211", f'{what}: "{key.text}" is not supported by this version yet.')
            elif key.text not in names:
                hint = hints.get(key.text or "") or did_you_mean(key.text or "", names)
                self.add(key.place, code, f'{what} has no field "{key.text}".', hint)
        return node

    def wrong_form(self, node: Node, what: str, expected: str) -> None:
        """Report that a node has another form than expected."""
        found = {Scalar: "a single value", Items: "a list", Fields: "a mapping"}[type(node)]
        if isinstance(node, Scalar):
            found = "nothing" if node.text is None else f'"{node.text}"' if node.text else "empty"
        self.add(node.place, "SEG203", f"{what} is {found}, expected {expected}.")

    def text(self, node: Node | None, what: str) -> str | None:
        """Return a node's text, or None where it is absent or of another form (which is reported)."""
        if node is None:
            return None
        if isinstance(node, Scalar) and node.text is not None and node.text != "":
            return node.text
        self.wrong_form(node, what, "text")
        return None

    def texts(self, node: Node | None, what: str) -> tuple[str, ...]:
        """Return the texts of a list, or of one value as a list of one."""
        if node is None:
            return ()
        if isinstance(node, Items):
            return tuple(found for item in node.nodes if (found := self.text(item, what)) is not None)
        single = self.text(node, what)
        return () if single is None else (single,)

    def boolean(self, node: Node | None, what: str) -> bool | None:
        """Return true or false, or None where it is neither (which is reported)."""
        if node is None:
            return None
        if isinstance(node, Scalar) and node.text in ("true", "false"):
            return node.text == "true"
        self.add(node.place, "SEG207", f"{what} is {show_node(node)}, expected true or false.")
        return None

    def choice(self, node: Node | None, what: str, known: Iterable[str]) -> str | None:
        """Return one of the known words, or None (which is reported)."""
        text = self.text(node, what)
        names = list(known)
        if text is None or node is None or text in names:
            return text
        self.add(
            node.place, "SEG207", f'{what} is "{text}", expected one of {", ".join(names)}.', did_you_mean(text, names)
        )
        return None
