"""What `mlflow` in the project file says, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from segengine.errors import DefinitionError
from segengine.project.settings import load_settings
from segengine.project.tracking import Tracking, scheme_of

PROJECT = """
project: tracked
tables: {customers: {path: data/customers, key: customer_id}}
audiences: {customer: {table: customers}}
"""


def load(folder: Path, mlflow: str, environment: str = "") -> Tracking:
    (folder / "segengine.yml").write_text(PROJECT + mlflow)
    return load_settings(folder, environment).tracking


def test_without_a_word_there_is_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, "") == Tracking()


def test_all_that_can_be_said(tmp_path: Path) -> None:
    said = "mlflow: {tracking_uri: 'https://ml.example.com:5000', experiment: shop, registered_model: 'shop.{id}'}"
    tracking = load(tmp_path, said)
    assert tracking == Tracking("https://ml.example.com:5000", "shop", "shop.{id}")
    assert tracking.model_name("summer") == "shop.summer"
    assert Tracking().model_name("summer") == ""


def test_an_environment_has_its_own(tmp_path: Path) -> None:
    said = (
        "mlflow: {experiment: shop}\nenvironments: {prod: {mlflow: {tracking_uri: databricks, experiment: /Shared/x}}}"
    )
    assert load(tmp_path, said) == Tracking("", "shop")
    assert load(tmp_path, said, "prod") == Tracking("databricks", "/Shared/x")


@pytest.mark.parametrize(
    "uri",
    [
        "databricks://profile",
        "sqlite:///mlflow.db",
        "sqlite:////data/mlflow.db",
        "postgresql+psycopg2://reader@db/mlflow",
        "http://[::1]:5000",
    ],
)
def test_known_addresses_are_taken(tmp_path: Path, uri: str) -> None:
    assert load(tmp_path, f"mlflow: {{tracking_uri: '{uri}'}}").uri == uri


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("{tracking_url: x}", 'mlflow has no field "tracking_url". Did you mean "tracking_uri"?'),
        ("on", 'mlflow is "on", expected a mapping'),
        ("{tracking_uri: [a]}", "tracking_uri is a list, expected text"),
        ("{tracking_uri: mlruns}", "tracking_uri is of none of the known kinds: http, https, databricks, sqlite"),
        ("{tracking_uri: 'file:///tmp/mlruns'}", "tracking_uri is of none of the known kinds"),
        ("{tracking_uri: 'http://'}", "tracking_uri names no host"),
        ("{tracking_uri: 'http://host:port'}", "tracking_uri is no address"),
        ("{tracking_uri: 'sqlite://'}", "tracking_uri names no file"),
        ("{tracking_uri: 'sqlite:///:memory:'}", "tracking_uri names no file"),
        ("{tracking_uri: 'sqlite://mlflow.db'}", "tracking_uri names no file"),
        ("{registered_model: shop}", "registered_model 'shop' has no {id}"),
        ("{registered_model: 'a/{id}'}", "registered_model 'a/{id}' has a / or :"),
    ],
)
def test_what_is_wrong_has_its_line(tmp_path: Path, said: str, found: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        load(tmp_path, f"mlflow: {said}")
    assert "segengine.yml:5: error SEG" in str(raised.value)
    assert found in str(raised.value)


@pytest.mark.parametrize(
    "uri",
    ["postgresql://user:hunter2@db/mlflow", "https://user:hunter2@ml.example.com", "mysql://db/m?password=hunter2"],
)
def test_a_secret_is_refused_and_not_shown(tmp_path: Path, uri: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        load(tmp_path, f"mlflow: {{tracking_uri: '{uri}'}}")
    assert "tracking_uri has a secret in it. Set it in the environment" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_the_scheme_is_without_its_driver() -> None:
    assert scheme_of("postgresql+psycopg2://db") == "postgresql"
    assert scheme_of("databricks") == "databricks"
