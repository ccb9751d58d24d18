"""Ids and output-table names made from what a user calls a definition."""

from __future__ import annotations

import re
import unicodedata

SEGMENT_MEMBERS = "segment_members"
"""The table of all segments' members as rows."""


def make_slug(name: str) -> str:
    """Return the id made from a name: ASCII lower case, digits and single `_`; empty if nothing is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")


def make_output_table(name: str) -> str:
    """Return the output table's name made from a definition's name; empty if nothing is left.

    Split at all but ASCII letters and digits, first letters upper case, joined; `S` before a leading digit.
    """
    parts = [part for part in re.split(r"[^A-Za-z0-9]+", name) if part]
    joined = "".join(part[0].upper() + part[1:] for part in parts)
    return f"S{joined}" if joined[:1].isdigit() else joined


def make_measure_table(audience: str) -> str:
    """Return the name of the table with the measures of an audience's profiles, one row each."""
    return f"{make_output_table(audience)}_Measure"


def with_article(noun: str) -> str:
    """Return a noun behind `a` or `an`."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def is_slug(text: str) -> bool:
    """Return whether a text can be an id."""
    return bool(re.fullmatch(r"[a-z0-9][a-z0-9_]*", text))


def is_table_name(text: str) -> bool:
    """Return whether a text can be an output table's name: a letter, then letters, digits and `_`."""
    return bool(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text))
