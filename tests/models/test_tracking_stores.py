"""Which addresses count, and what is shown of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from segengine.models.tracking_stores import URI_VARIABLE, Store, check_answers, find_stores, hide_secrets
from segengine.project.project_file import Settings
from segengine.project.settings import load_settings

PROJECT = """
project: shop
tables: {{customers: {{path: data/customers, key: customer_id}}}}
audiences: {{customer: {{table: customers}}}}
mlflow: {{{mlflow}}}
"""


@pytest.fixture(autouse=True)
def _no_tracking_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URI_VARIABLE, raising=False)


def load(folder: Path, mlflow: str) -> Settings:
    (folder / "segengine.yml").write_text(PROJECT.format(mlflow=mlflow))
    return load_settings(folder)


def local(folder: Path, experiment: str = "shop", registered_model: str = "") -> Store:
    return Store(f"sqlite:///{folder}/mlruns.db", experiment, f"file://{folder}/mlartifacts", registered_model)


@pytest.mark.parametrize("said", ["", "tracking_uri: 'sqlite:///mlruns.db'"])
def test_without_an_address_there_is_one_file(tmp_path: Path, said: str) -> None:
    assert find_stores(load(tmp_path, said), "summer") == [local(tmp_path)]


def test_a_file_is_the_second_choice(tmp_path: Path) -> None:
    said = "tracking_uri: 'https://ml.example.com', experiment: mine, registered_model: 'shop.{id}'"
    server = Store("https://ml.example.com", "mine", "", "shop.summer")
    assert find_stores(load(tmp_path, said), "summer") == [server, local(tmp_path, "mine")]


def test_files_of_a_database_are_kept_in_the_project(tmp_path: Path) -> None:
    (database, _) = find_stores(load(tmp_path, "tracking_uri: 'postgresql://db/mlflow'"), "summer")
    assert database.artifacts == local(tmp_path).artifacts


@pytest.mark.parametrize(
    ("said", "name"), [("", "/Shared/shop"), (", experiment: a", "/Shared/a"), (", experiment: /b", "/b")]
)
def test_experiments_of_databricks_are_paths(tmp_path: Path, said: str, name: str) -> None:
    assert find_stores(load(tmp_path, f"tracking_uri: databricks{said}"), "summer")[0].experiment == name


def test_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URI_VARIABLE, "sqlite:///runs.db")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    first, second = find_stores(load(tmp_path / "shop", "tracking_uri: 'https://ml.example.com'"), "summer")
    assert first.file == tmp_path / "runs.db"
    assert second == local(tmp_path / "shop")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://ann:hunter2@ml.example.com/x failed", "https://ml.example.com/x failed"),
        ("mysql://db/mlflow?password=hunter2 failed", "mysql://db/mlflow failed"),
        ("https://ml.example.com/a@b failed", "https://ml.example.com/a@b failed"),
    ],
)
def test_secrets_are_not_shown(text: str, shown: str) -> None:
    assert hide_secrets(text) == shown


def test_only_databases_are_called_before() -> None:
    check_answers("http://127.0.0.1:1")
    check_answers("postgresql:///mlflow?host=/run/postgresql")
    with pytest.raises(OSError, match="refused"):
        check_answers("mysql+pymysql://127.0.0.1:1/mlflow")
