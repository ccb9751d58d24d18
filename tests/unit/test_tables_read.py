"""What a definition may depend on, against what a refresh of it reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernel_runs import read_segments
from random_measures import draw_measures
from worlds import AS_OF

from segengine.operations.source_checks import find_source_use
from segengine.project.catalogue import Catalogue, load_catalogue
from segengine.project.settings import load_settings
from segengine.project.walk import depends_on_as_of, tables_read

CONF = Path(__file__).parents[2] / "conf"


def check_tables(catalogue: Catalogue) -> None:
    whole = [one for one in catalogue.evaluated.values() if set(catalogue.parents(one.id)) <= set(catalogue.order)]
    assert len(whole) > len(catalogue.order) // 2
    for definition in whole:
        used = set(find_source_use({definition.id: definition}, catalogue, AS_OF).columns)
        assert used <= tables_read(definition, catalogue.settings), definition.name


@pytest.mark.parametrize("name", ["contoso", "harbor_supply", "complete_journey"])
def test_of_the_example_projects(name: str) -> None:
    check_tables(load_catalogue(load_settings(CONF / name)))


@pytest.mark.parametrize("seed", range(5))
def test_of_random_definitions(seed: int, tmp_path: Path) -> None:
    case = draw_measures(seed, 20, 30)
    check_tables(read_segments(tmp_path, case.world, [*case.measures, *case.segments])[0])


def test_what_asks_for_the_time() -> None:
    catalogue = load_catalogue(load_settings(CONF / "contoso"))
    asking = {definition.name for definition in catalogue.evaluated.values() if depends_on_as_of(definition)}
    assert "Days since last purchase" in asking
    assert "High Value Online Customers" not in asking
