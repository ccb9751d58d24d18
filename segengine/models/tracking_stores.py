"""Where runs of models are recorded: addresses, and which of them counts."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from segengine.project.project_file import Settings
from segengine.project.tracking import DATABASES, scheme_of

URI_VARIABLE = "MLFLOW_TRACKING_URI"
LOCAL_FILE, LOCAL_ARTIFACTS = "mlruns.db", "mlartifacts"
CONNECT_SECONDS = 5.0
_SQLITE = "sqlite:///"
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


@dataclass(frozen=True)
class Store:
    """A place for runs. `artifacts`: where their files go, '' where the server knows.

    `registered_model`: the name models are registered under, '' where they are not.
    """

    uri: str
    experiment: str
    artifacts: str = ""
    registered_model: str = ""

    @property
    def file(self) -> Path | None:
        """The SQLite file, where it is one."""
        return Path(self.uri.removeprefix(_SQLITE)) if scheme_of(self.uri) == "sqlite" else None

    def __str__(self) -> str:
        """Return the address without secrets: the environment's may have some."""
        return str(self.file) if self.file else hide_secrets(self.uri)


def find_stores(settings: Settings, definition_id: str) -> list[Store]:
    """Return where to record, first choice first.

    That is what MLFLOW_TRACKING_URI says, as MLflow's users expect, else the project, else a file beside the project's;
    the file is also the second choice, without registering models: a version's number would be another one there.
    """
    asked, local = settings.tracking, _make_local_store(settings)
    registered_model = asked.model_name(definition_id)
    from_environment = os.environ.get(URI_VARIABLE, "")
    uri = anchor(from_environment, Path.cwd()) or anchor(asked.uri, settings.root)
    if not uri or uri == local.uri:
        return [replace(local, registered_model=registered_model)]
    is_path = scheme_of(uri) == "databricks"  # experiments are files of the workspace there
    experiment = str(PurePosixPath("/Shared") / local.experiment) if is_path else local.experiment
    artifacts = local.artifacts if scheme_of(uri) in DATABASES else ""
    return [Store(uri, experiment, artifacts, registered_model), local]


def _make_local_store(settings: Settings) -> Store:
    uri = anchor(f"{_SQLITE}{LOCAL_FILE}", settings.root)
    artifacts = (settings.root / LOCAL_ARTIFACTS).as_uri()
    return Store(uri, settings.tracking.experiment or settings.project, artifacts)


def anchor(uri: str, folder: Path) -> str:
    """Return an address whose file, where it is one, does not depend on the current folder."""
    return f"{_SQLITE}{folder / uri.removeprefix(_SQLITE)}" if scheme_of(uri) == "sqlite" else uri


def check_answers(uri: str) -> None:
    """Raise OSError where a database's host does not answer; mlflow would try for two minutes, holding its locks."""
    scheme = scheme_of(uri)
    if scheme in _PORTS:
        parts = urlsplit(uri)
        if parts.hostname:
            address = parts.hostname, parts.port or _PORTS[scheme]
            socket.create_connection(address, timeout=CONNECT_SECONDS).close()


def hide_secrets(text: str) -> str:
    """Return a text without the user, the password and the query of addresses in it."""
    return re.sub(r"\?\S*", "", re.sub(r"//[^/@\s]*@", "//", text))
