"""Executions of models recorded in MLflow: the one module that imports it, and only when something is to be written.

Nothing of a user's MLflow is touched: clients with addresses and ids of runs instead of the fluent API, whose tracking
URI, experiment and active run belong to the notebook; an active run there, at the same address, becomes the parent.
The time a server may take is bounded, and whatever goes wrong with it, the run is recorded beside the project file
instead and `RunRecord.outcome` says why.
"""

from __future__ import annotations

import importlib.metadata
import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from segengine import __version__
from segengine.models.fields import HASH
from segengine.models.isolation import environment, finish_within, silence
from segengine.models.run_record import Outcome, RunRecord, Subject, make_record
from segengine.models.similarity_pyfunc import SCORE, SavedScorer
from segengine.models.tracking_stores import Store, anchor, check_answers, find_stores, hide_secrets
from segengine.project.project_file import Settings

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

DEADLINE_SECONDS = 60.0  # for all that a server is told of one execution
LOADER = "segengine.models.similarity_pyfunc"
MODEL_NAME = "model"
REQUIREMENTS = ("numpy", "pandas", "pyarrow", "scikit-learn")
REGISTER_SECONDS = 10
BATCH = 100  # parameters, tags or metrics in one request
INSTALL = "Install it (pip install 'segengine[models]'), or say --no-tracking."
_SIGNS = frozenset("%?#")
_Item = TypeVar("_Item")

# Without telemetry, lines on stdout, progress bars, warnings about git, and files of the folder we are called in.
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
# Unless the user has set them: by default a server that is down costs four minutes, and may ask for more.
_BOUNDED = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT": "20",
}
_LOGGERS = ("mlflow", "alembic", "urllib3", "sqlalchemy", "botocore", "matplotlib")


@dataclass(frozen=True)
class ActiveRun:
    """A run that the user has under way."""

    run_id: str
    experiment_id: str


@contextmanager
def track(settings: Settings, subject: Subject, *, enabled: bool = True) -> Iterator[RunRecord]:
    """Yield the record of an execution; when the block ends it is written, also where it failed, not where interrupted.

    Afterwards its `outcome` says where, and what went wrong with that: nothing about tracking raises.

    Args:
        settings: The project; its `mlflow` says where to, unless MLFLOW_TRACKING_URI does.
        subject: What is executed.
        enabled: Otherwise everything is the same, but nothing is written and mlflow not imported.
    """
    record = make_record(settings, subject)
    stores = find_stores(settings, subject.definition_id)
    parent = find_active_run(stores[0].uri) if enabled else None
    try:
        with record.timed():
            yield record
    finally:
        if enabled and record.status != "KILLED":
            record.outcome = _write_somewhere(record, stores, parent)


def find_active_run(uri: str) -> ActiveRun | None:
    """Return the run that a notebook has under way at an address, or None; mlflow is not imported for it."""
    mlflow = sys.modules.get("mlflow")
    run = mlflow.active_run() if mlflow else None
    if mlflow is None or run is None or anchor(mlflow.get_tracking_uri(), Path.cwd()) != uri:
        return None
    return ActiveRun(run.info.run_id, run.info.experiment_id)


def _write_somewhere(record: RunRecord, stores: Sequence[Store], parent: ActiveRun | None) -> Outcome:
    """Write to the first store that takes it; which did not, and why, is the outcome's warning."""
    faults: list[str] = []
    for store in stores:
        try:
            outcome = _write_quietly(record, store, None if faults else parent)
        except Exception as error:  # noqa: BLE001 # no failure to record a result may cost the result
            if isinstance(error, ModuleNotFoundError) and error.name == "mlflow":
                return Outcome(warning=f"The run is not recorded: mlflow is not installed. {INSTALL}")
            faults.append(f"MLflow at {store} did not take the run ({_describe(error)}).")
        else:
            instead = [f"It is recorded in {store} instead."] if faults else []
            return replace(outcome, warning=" ".join([*faults, *instead, outcome.warning]).strip())
    return Outcome(warning=" ".join([*faults, "The run is not recorded; its result is not touched by that."]))


def _write_quietly(record: RunRecord, store: Store, parent: ActiveRun | None) -> Outcome:
    bounds = {name: value for name, value in _BOUNDED.items() if name not in os.environ}
    with environment(_QUIET | bounds), TemporaryDirectory(prefix="segengine-") as folder:
        with silence(()):
            import mlflow  # noqa: F401 # it sets its loggers up, so before they are silenced
        with silence(_LOGGERS):
            if store.file:
                prepare_file(store.file)
                return _Writer(store).write(record, Path(folder), parent)
            check_answers(store.uri)
            return finish_within(DEADLINE_SECONDS, lambda: _Writer(store).write(record, Path(folder), parent))


def prepare_file(path: Path) -> None:
    """Make an SQLite store where there is none yet, also where several processes do so at once.

    Two that migrate one new file fail; so each does it in a file of its own, and the first gets the name.

    Raises:
        OSError: The folder cannot be written to.
        ValueError: The path has a sign that means something in an address, and not the same to all SQLAlchemys.
        sqlite3.Error: The file is none of SQLite, which mlflow would find out in two minutes.
    """
    from mlflow import MlflowClient

    if found := _SIGNS.intersection(str(path)):
        raise ValueError(f"the path of an SQLite store cannot have {' or '.join(sorted(found))} in it")
    if path.exists():
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("pragma schema_version")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent, prefix=".mlruns-") as folder:
        new = Path(folder) / path.name
        MlflowClient(f"sqlite:///{new}")
        with suppress(FileExistsError):
            os.link(new, path)


class _Writer:
    """Writes a record, and those below it, to one store; what can be left out and fails is among `faults`."""

    def __init__(self, store: Store) -> None:
        from mlflow import MlflowClient

        self.store = store
        self.client = MlflowClient(store.uri)
        self.faults: list[str] = []
        self.model_uri = ""

    def write(self, record: RunRecord, folder: Path, parent: ActiveRun | None) -> Outcome:
        """Write all; `folder`: an empty one for files on their way."""
        experiment_id = parent.experiment_id if parent else self._find_experiment()
        run_id = self._write_run(record, experiment_id, folder, parent.run_id if parent else "")
        experiment = self.client.get_experiment(experiment_id).name
        return Outcome(str(self.store), experiment, run_id, self.model_uri, " ".join(self.faults))

    def _find_experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        name = self.store.experiment
        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                return self.client.create_experiment(name, self.store.artifacts or None)
            except MlflowException:  # by another process, a moment ago?
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _write_run(self, record: RunRecord, experiment_id: str, folder: Path, parent_id: str) -> str:
        tags = record.tags | {"mlflow.source.name": "segengine"}
        if parent_id:
            tags["mlflow.parentRunId"] = parent_id
        run = self.client.create_run(experiment_id, record.started_at, tags, record.name)
        run_id = str(run.info.run_id)
        self._write_values(run_id, record)
        self._write_files(run_id, record, folder / "files")
        if record.model:
            self._write_model(record.model, experiment_id, run_id, folder)
        for number, child in enumerate(record.children):
            self._write_run(child, experiment_id, folder / str(number), run_id)
        self.client.set_terminated(run_id, record.status, record.ended_at)
        return run_id

    def _write_values(self, run_id: str, record: RunRecord) -> None:
        from mlflow.entities import Metric, Param

        for parameters in _batches([Param(key, value) for key, value in record.parameters.items()]):
            self.client.log_batch(run_id, params=parameters, synchronous=True)
        for metrics in _batches([Metric(key, value, record.ended_at, step) for key, value, step in record.metrics]):
            self.client.log_batch(run_id, metrics=metrics, synchronous=True)

    def _write_files(self, run_id: str, record: RunRecord, folder: Path) -> None:
        folder.mkdir(parents=True)
        for name, write in record.files.items():
            try:
                write(folder / name)
            except Exception as error:  # noqa: BLE001 # one plot less is no reason to lose the rest
                self.faults.append(f"{name} is left out ({_describe(error)}).")
                (folder / name).unlink(missing_ok=True)
        if any(folder.iterdir()):
            self.client.log_artifacts(run_id, str(folder))

    def _write_model(self, saved: SavedScorer, experiment_id: str, run_id: str, folder: Path) -> None:
        from mlflow.entities import LoggedModelOutput

        logged = self.client.create_logged_model(experiment_id, MODEL_NAME, run_id)
        model_id = str(logged.model_id)
        _save_model(saved, folder / MODEL_NAME, run_id, model_id)
        self.client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
        self.client.log_model_artifacts(model_id, str(folder / MODEL_NAME))
        self.client.finalize_logged_model(model_id, "READY")
        self.model_uri = f"models:/{model_id}"
        if self.store.registered_model:
            # A server looks for `models:/...` in its store, a database where the notebook's tracking URI leads.
            source = str(logged.artifact_location) if self.store.artifacts else self.model_uri
            try:
                self._register(self.store.registered_model, source, model_id, run_id)
            except Exception as error:  # noqa: BLE001 # who may log may not always register
                self.faults.append(f"The model is not registered ({_describe(error)}).")

    def _register(self, name: str, source: str, model_id: str, run_id: str) -> None:
        from mlflow.exceptions import MlflowException

        with suppress(MlflowException):  # it is there already; or the next call says what is wrong
            self.client.create_registered_model(name)
        version = self.client.create_model_version(
            name, source, run_id, model_id=model_id, await_creation_for=REGISTER_SECONDS
        )
        self.model_uri = f"models:/{name}/{version.version}"


def _save_model(saved: SavedScorer, path: Path, run_id: str, model_id: str) -> None:
    """Write a model as MLflow keeps it: with signature, example and requirements, loaded by `similarity_pyfunc`."""
    import mlflow.pyfunc
    from mlflow.models import Model

    data = path.with_suffix(".pickle")
    saved.save(data)
    versions = [f"{name}=={importlib.metadata.version(name)}" for name in REQUIREMENTS]
    mlflow.pyfunc.save_model(
        path,
        loader_module=LOADER,
        data_path=str(data),
        mlflow_model=Model(run_id=run_id, model_uuid=model_id, model_id=model_id),
        signature=_make_signature(saved.example.schema),
        input_example=saved.example.to_pandas(),
        pip_requirements=[f"segengine=={__version__}", *versions],
    )


def _make_signature(schema: pa.Schema) -> ModelSignature:
    """Return a signature in which everything but the id's hash may be missing.

    Ordinals are of any type: pandas makes floats of whole numbers with missing ones, and MLflow refuses floats where a
    signature says whole numbers, as well as the other way round.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, DataType, Schema

    def specify(column: pa.Field) -> ColSpec:
        if column.name == HASH:
            return ColSpec(DataType.long, column.name)
        any_type = AnyType()  # type: ignore[no-untyped-call]  # MLflow leaves its types out
        type_ = DataType.string if pa.types.is_string(column.type) else any_type
        return ColSpec(type_, column.name, required=False)

    return ModelSignature(Schema(list(map(specify, schema))), Schema([ColSpec(DataType.double, SCORE)]))


def _batches(items: Sequence[_Item]) -> Iterator[list[_Item]]:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _describe(error: Exception) -> str:
    """Return the first line of what went wrong, cut off where it is long, without secrets of addresses."""
    text = str(error).strip().partition("\n")[0] or type(error).__name__
    return hide_secrets(text)[:300]
