"""Catalogues of measures for tests: a project of the golden cases and definitions as text."""

from __future__ import annotations

from pathlib import Path

from segengine.project.catalogue import Catalogue, check_definitions
from segengine.project.definitions import read_definition
from segengine.project.measure import Measure
from segengine.project.nodes import parse_documents
from segengine.project.problems import Problems
from segengine.project.schema_lock import load_schema
from segengine.project.settings import load_settings

GOLDEN = Path(__file__).parents[1] / "golden" / "definitions"
SHOP, TRADE = GOLDEN / "good", GOLDEN / "account_segments"


def read_catalogue(text: str, folder: Path = SHOP) -> tuple[Catalogue, list[str]]:
    """Return what definitions become in a project, and the errors."""
    settings, problems = load_settings(folder), Problems()
    schema = load_schema(settings, Problems())
    documents, issues = parse_documents(text, "a.yml")
    definitions = [found for node in documents if (found := read_definition(node, "a.yml", problems))]
    catalogue = check_definitions(definitions, settings, schema, problems)
    found = [*issues, *problems.issues]
    return catalogue, [f"{issue.code}: {issue.message} {issue.hint}" for issue in found if issue.level == "error"]


def catalogue_of(text: str, folder: Path = SHOP) -> Catalogue:
    """Return a catalogue without errors."""
    catalogue, errors = read_catalogue(text, folder)
    assert not errors, errors
    return catalogue


def measure_of(fields: str, folder: Path = SHOP, others: str = "") -> Measure:
    """Return the measure `M` with these fields."""
    return catalogue_of(f"kind: measure\nname: M\n{fields}\n{others}", folder).measures["m"]


def errors_of(fields: str, folder: Path = SHOP, others: str = "") -> list[str]:
    """Return what is wrong with the measure `M` with these fields."""
    return read_catalogue(f"kind: measure\nname: M\n{fields}\n{others}", folder)[1]
