"""Prediction tables: one row for each profile, looked up under the table's name."""

from __future__ import annotations

from pathlib import Path

from segengine.project.attributes import Attribute
from segengine.project.measure_names import find_named
from segengine.project.paths import find_attribute
from segengine.project.problems import Problems
from segengine.project.schema_lock import load_schema
from segengine.project.settings import load_settings

CONTOSO = Path(__file__).parents[2] / "conf" / "contoso"


def test_a_prediction_is_a_look_up_of_the_profile() -> None:
    settings = load_settings(CONTOSO)
    schema = load_schema(settings, Problems())
    assert settings.tables["churn"].prediction
    found = find_named(settings, schema, "customers", "churn.score")
    assert found == find_attribute(settings, schema, "customers", "churn.score")
    assert isinstance(found, Attribute)
    assert (found.name, found.column, found.type.name) == ("churn.score", "score", "double")
    assert [(hop.target, hop.multiplies) for hop in found.hops] == [("churn", False)]
