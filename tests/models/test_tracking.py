"""Executions recorded in MLflow: where, what, and what happens when that does not work.

Importing mlflow and making a store cost seconds, so all tests share one store, made by two processes at once.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, ClassVar

import pytest
from stand_in_model import SUBJECT, StandIn, log_everything, make_features

from segengine.models import plots
from segengine.models.run_record import Outcome, RunRecord
from segengine.models.tracking import track
from segengine.models.tracking_stores import LOCAL_ARTIFACTS, LOCAL_FILE, URI_VARIABLE
from segengine.project.project_file import Settings
from segengine.project.settings import load_settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

ROOT = Path(__file__).parents[2]
PROJECT = """
project: tracked
tables: {{customers: {{path: data/customers, key: customer_id}}}}
audiences: {{customer: {{table: customers}}}}
mlflow: {{{mlflow}}}
"""
# What runs in processes of their own; they print a line of JSON, and nothing else may be printed.
LOAD = """
from stand_in_model import make_features
logging.getLogger("mlflow").setLevel("ERROR")  # it warns that segengine is not installed
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.stdin.readline())
said["scores"] = model.predict(make_features().to_pandas())["score"].tolist()
said["scores of example"] = model.predict(model.input_example)["score"].tolist()
said["inputs"] = {each.name: each.to_dict()["type"] for each in model.metadata.get_input_schema()}
print(json.dumps(said))
"""
RECORD = """
import json, logging, os, sys
from pathlib import Path
from segengine.models.tracking import track
from segengine.project.settings import load_settings
from stand_in_model import SUBJECT, log_everything

settings = load_settings(Path(sys.argv[2]))
with track(settings, SUBJECT, enabled=False) as run:
    log_everything(run)
imported = [name for name in ("mlflow", "matplotlib") if name in sys.modules]
untracked = {"outcome": run.outcome.run_id, "imported": imported}
environment = dict(os.environ)
with track(settings, SUBJECT) as run:
    log_everything(run)
import mlflow
from mlflow.telemetry import get_telemetry_client
said = {
    "untracked": untracked,
    "outcome": run.outcome.__dict__,
    "environment": dict(os.environ) == environment,
    "telemetry": get_telemetry_client() is not None,
    "active": mlflow.active_run() is not None,
    "level": logging.getLogger("mlflow").level,
    "pyplot": "matplotlib.pyplot" in sys.modules,
    "folder": sorted(os.listdir()),
}
"""
WRITE = """
import json, sys
from pathlib import Path
from segengine.models.tracking import track
from segengine.project.settings import load_settings
from stand_in_model import SUBJECT

outcomes = []
for number in range(5):
    with track(load_settings(Path(sys.argv[1])), SUBJECT) as run:
        run.log_metrics({"number": number})
    outcomes.append(run.outcome.__dict__)
print(json.dumps(outcomes))
"""
# The last is set by an mlflow that a test module imported when it was collected, and taken away by one that starts.
MARKS_OF_CI = (
    *("CI", "GITHUB_ACTIONS", "PYTEST_CURRENT_TEST", "DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY"),
    "_MLFLOW_TELEMETRY_SESSION_ID",
)


def load_project(folder: Path, mlflow: str = "") -> Settings:
    folder.mkdir(exist_ok=True)
    (folder / "segengine.yml").write_text(PROJECT.format(mlflow=mlflow))
    return load_settings(folder)


def start(code: str, *arguments: str | Path, folder: Path) -> subprocess.Popen[str]:
    """Start a process as a user would: none of what tells mlflow that it is being tested."""
    kept = {name: value for name, value in os.environ.items() if name not in MARKS_OF_CI}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder,
        env=kept | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, Path(__file__).parent)))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], model_uri: str = "") -> tuple[str, str]:
    printed, complained = process.communicate(model_uri, timeout=500)
    assert process.returncode == 0, complained
    return printed, complained


@pytest.fixture(autouse=True)
def _no_tracking_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URI_VARIABLE, raising=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project's folder, with a blank in its path."""
    folder = tmp_path_factory.mktemp("tracking") / "my project"
    load_project(folder, "registered_model: 'shop.{id}'")
    return folder


@dataclass(frozen=True)
class Recorded:
    """What two processes recorded in one folder at the same time: this one, and one that said something of itself."""

    here: Outcome
    there: Outcome
    said: dict[str, object]
    complained: str


@pytest.fixture(scope="module")
def recorded(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    address = f"sqlite:///{project / LOCAL_FILE}"
    process = start(RECORD + LOAD, address, project, folder=tmp_path_factory.mktemp("elsewhere"))
    with track(load_settings(project), SUBJECT) as record:
        log_everything(record)
    printed, complained = finish(process, record.outcome.model_uri)
    said = json.loads(printed)
    return Recorded(record.outcome, Outcome(**said.pop("outcome")), said, complained)


@pytest.fixture
def settings(recorded: Recorded, project: Path, tmp_path: Path) -> Settings:
    """Return a project of its own with a store that is there already."""
    settings = load_project(tmp_path / "own")
    shutil.copy(project / LOCAL_FILE, settings.root / LOCAL_FILE)
    return settings


def make_client(settings: Settings) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{settings.root / LOCAL_FILE}")


def read_run(settings: Settings, record: RunRecord) -> Run:
    return make_client(settings).get_run(record.outcome.run_id)


def find_children(client: MlflowClient, run: Run) -> list[Run]:
    asked = f"tags.mlflow.parentRunId = '{run.info.run_id}'"
    found: list[Run] = client.search_runs([run.info.experiment_id], asked)
    return sorted(found, key=lambda each: str(each.info.run_name))


def test_processes_at_once_record_all(recorded: Recorded, project: Path) -> None:
    client = make_client(load_settings(project))
    experiment = client.get_experiment_by_name("tracked")
    assert experiment.artifact_location.startswith((project / LOCAL_ARTIFACTS).as_uri())
    assert {recorded.here.model_uri, recorded.there.model_uri} == {"models:/shop.summer/1", "models:/shop.summer/2"}
    for outcome in (recorded.here, recorded.there):
        assert outcome.warning == ""
        run = client.get_run(outcome.run_id)
        assert (run.info.status, run.info.run_name) == ("FINISHED", "Summer")
        assert [child.info.run_name for child in find_children(client, run)] == ["fold 0", "fold 1"]
    assert sorted(path.name for path in project.iterdir()) == [LOCAL_ARTIFACTS, LOCAL_FILE, "segengine.yml"]


def test_a_run_has_all_that_was_logged(recorded: Recorded, project: Path) -> None:
    client = make_client(load_settings(project))
    run = client.get_run(recorded.there.run_id)
    assert run.data.params == {"table_version.customers": "7", "seed_text": "abc", "salts": "split, fold"}
    assert run.data.metrics == {"auc": 0.875, "lift": 4.5, "lift at size": 3.0}
    history = client.get_metric_history(run.info.run_id, "lift at size")
    assert [(metric.step, metric.value) for metric in history] == [(1, 5.0), (2, 4.0), (3, 3.0)]
    assert run.data.tags["segengine.snapshot_version"] == "3"
    assert run.data.tags["segengine.definition_hash"] == "abc"
    assert run.info.end_time >= run.info.start_time
    names = [file.path for file in client.list_artifacts(run.info.run_id)]
    assert names == ["bands.csv", "fields.json", "lift.png"]
    artifacts = Path(client.download_artifacts(run.info.run_id, ""))
    assert (artifacts / "bands.csv").read_text() == '"band","share"\n"very similar",0.25\n'
    assert (artifacts / "lift.png").read_bytes().startswith(b"\x89PNG")


def test_nobody_notices(recorded: Recorded) -> None:
    assert recorded.complained == ""
    unnoticed = {"environment": True, "telemetry": False, "active": False, "level": 20, "pyplot": False, "folder": []}
    assert {name: recorded.said[name] for name in unnoticed} == unnoticed


def test_without_tracking_nothing_is_imported(recorded: Recorded) -> None:
    assert recorded.said["untracked"] == {"outcome": "", "imported": []}


def test_a_model_scores_frames_in_another_process(recorded: Recorded) -> None:
    check_scores(recorded.said)
    assert recorded.said["inputs"] == {"id_hash": "long", "state": "string", "income": "any", "rating": "any"}


def check_scores(said: dict[str, object]) -> None:
    assert said["scores"] == StandIn("CA").score(make_features().combine_chunks().to_batches()[0]).to_pylist()
    assert said["scores of example"] == [0.9, 0.601, 0.602]


def test_no_ids_of_customers_are_stored(recorded: Recorded, project: Path) -> None:
    ids = [str(each) for each in make_features().column("id_hash").to_pylist()]
    files = [file for file in project.rglob("*") if file.is_file() and file.suffix != ".png"]
    assert len(files) > 10
    for file in files:
        text = file.read_bytes().decode("latin-1")
        assert not [each for each in ids if each in text], file


def test_a_run_of_the_user_becomes_the_parent(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.setenv(URI_VARIABLE, f"sqlite:///{settings.root / LOCAL_FILE}")
    experiment_id = make_client(settings).create_experiment("notebook")
    with mlflow.start_run(experiment_id=experiment_id) as mine:
        with track(settings, SUBJECT) as record:
            record.log_metrics({"auc": 0.75})
        assert mlflow.active_run().info.run_id == mine.info.run_id
        mlflow.log_metric("more", 1)
    run = read_run(settings, record)
    assert (record.outcome.experiment, run.info.experiment_id) == ("notebook", experiment_id)
    assert run.data.tags["mlflow.parentRunId"] == mine.info.run_id
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"auc": 0.75})
    assert make_client(settings).get_run(mine.info.run_id).data.metrics == {"more": 1}


def test_a_run_of_the_user_elsewhere_is_none_of_ours(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    shutil.copy(settings.root / LOCAL_FILE, tmp_path / "other.db")
    monkeypatch.setenv(URI_VARIABLE, f"sqlite:///{tmp_path / 'other.db'}")
    with mlflow.start_run(experiment_id="0"), monkeypatch.context() as notebook:
        notebook.delenv(URI_VARIABLE)
        with track(settings, SUBJECT) as record:
            pass
    assert record.outcome.experiment == "tracked"
    assert "mlflow.parentRunId" not in read_run(settings, record).data.tags


def test_the_environment_wins(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(settings.root / LOCAL_FILE, tmp_path / "asked.db")
    settings = load_project(settings.root, "tracking_uri: 'http://127.0.0.1:1', experiment: shop")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(URI_VARIABLE, "sqlite:///asked.db")
    with track(settings, SUBJECT) as record:
        pass
    assert record.outcome.uri == str(tmp_path / "asked.db")
    assert (record.outcome.experiment, record.outcome.warning) == ("shop", "")


def test_a_file_of_the_project_is_beside_it(settings: Settings) -> None:
    os.rename(settings.root / LOCAL_FILE, settings.root / "runs.db")
    settings = load_project(settings.root, "tracking_uri: 'sqlite:///runs.db'")
    with track(settings, SUBJECT) as record:
        pass
    assert record.outcome.uri == str(settings.root / "runs.db")


def test_a_failed_execution_is_recorded_as_such(settings: Settings) -> None:
    with pytest.raises(ValueError, match="no"), track(settings, SUBJECT) as record:
        raise ValueError("no")
    run = read_run(settings, record)
    assert (run.info.status, run.data.tags["segengine.error"]) == ("FAILED", "ValueError")


def test_an_interrupted_one_is_not(settings: Settings) -> None:
    with pytest.raises(KeyboardInterrupt), track(settings, SUBJECT) as record:
        raise KeyboardInterrupt
    assert record.outcome.run_id == ""


def test_a_plot_that_fails_costs_the_plot(settings: Settings) -> None:
    with track(settings, SUBJECT) as record:
        record.log_figure("lift", partial(plots.draw_lift, [], []))
        record.log_table("bands", [{"band": "similar"}])
    assert record.outcome.warning.startswith("lift.png is left out (")
    files = make_client(settings).list_artifacts(record.outcome.run_id)
    assert [file.path for file in files] == ["bands.csv"]


def check_recorded_locally(settings: Settings, record: RunRecord, address: str) -> None:
    assert record.outcome.uri == str(settings.root / LOCAL_FILE)
    assert f"MLflow at {address} did not take the run (" in record.outcome.warning
    assert f"It is recorded in {settings.root / LOCAL_FILE} instead." in record.outcome.warning
    assert read_run(settings, record).data.metrics["auc"] == 0.875


def find_free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_server_that_is_down_costs_a_warning(
    settings: Settings, scheme: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = f"127.0.0.1:{find_free_port()}"
    monkeypatch.setenv(URI_VARIABLE, f"{scheme}://ann:hunter2@{host}")
    began = time.monotonic()
    with track(settings, SUBJECT) as record:
        record.log_metrics({"auc": 0.875})
    assert time.monotonic() - began < 60  # mlflow's own bounds: four minutes
    check_recorded_locally(settings, record, f"{scheme}://{host}")
    assert "hunter2" not in record.outcome.warning
    assert capfd.readouterr() == ("", "")


class DyingServer(BaseHTTPRequestHandler):
    """Takes the run, and then fails at everything that is in it."""

    run: ClassVar = {"info": {"run_id": "a" * 32, "experiment_id": "1", "status": "RUNNING", "start_time": 1}}
    answers: ClassVar[dict[str, object]] = {
        "experiments/get-by-name": {"experiment": {"experiment_id": "1", "name": "tracked"}},
        "runs/create": {"run": run},
    }
    asked: ClassVar[list[str]] = []

    def answer(self) -> None:
        path = self.path.partition("?")[0].removeprefix("/api/2.0/mlflow/")
        self.asked.append(path)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps(self.answers.get(path, {})).encode()
        self.send_response(200 if path in self.answers else 503)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "3600")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002
        pass


def test_a_server_that_dies_in_the_middle_loses_nothing(settings: Settings) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), DyingServer)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        with track(load_project(settings.root, f"tracking_uri: '{address}'"), SUBJECT) as record:
            record.log_metrics({"auc": 0.875})
    finally:
        server.shutdown()
        server.server_close()
    assert "runs/create" in DyingServer.asked
    check_recorded_locally(settings, record, address)


@contextmanager
def open_silent_server() -> Iterator[str]:
    """Yield the address of a server that takes calls and never answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


def test_a_silent_server_is_not_waited_for_beyond_the_deadline(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segengine.models.tracking.DEADLINE_SECONDS", 0.5)
    with open_silent_server() as address:
        with track(load_project(settings.root, f"tracking_uri: '{address}'"), SUBJECT) as record:
            record.log_metrics({"auc": 0.875})
    check_recorded_locally(settings, record, address)
    assert "it took more than 0.5 seconds" in record.outcome.warning


@pytest.mark.long
def test_a_silent_server_costs_less_than_half_a_minute(settings: Settings) -> None:
    began = time.monotonic()
    with open_silent_server() as address:
        with track(load_project(settings.root, f"tracking_uri: '{address}'"), SUBJECT) as record:
            record.log_metrics({"auc": 0.875})
    assert time.monotonic() - began < 45
    check_recorded_locally(settings, record, address)


def test_without_mlflow_there_is_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with track(load_project(tmp_path / "own", "tracking_uri: 'http://127.0.0.1:1'"), SUBJECT) as record:
        pass
    assert record.outcome.warning == (
        "The run is not recorded: mlflow is not installed. Install it (pip install 'segengine[models]'), "
        "or say --no-tracking."
    )


def test_signs_of_addresses_in_a_path_are_refused(tmp_path: Path) -> None:
    with track(load_project(tmp_path / "100%"), SUBJECT) as record:
        pass
    assert "did not take the run (the path of an SQLite store cannot have % in it)." in record.outcome.warning


def test_where_nothing_can_be_written_the_result_stays(tmp_path: Path) -> None:
    settings = load_project(tmp_path / "own", "tracking_uri: 'sqlite:///runs.db'")
    (settings.root / "runs.db").write_text("no database")
    (settings.root / LOCAL_FILE).mkdir()
    with track(settings, SUBJECT) as record:
        record.log_metrics({"auc": 0.875})
    assert record.outcome.run_id == ""
    assert "runs.db did not take the run (file is not a database)." in record.outcome.warning
    assert record.outcome.warning.endswith("The run is not recorded; its result is not touched by that.")


@pytest.mark.long
def test_many_processes_write_to_one_file(tmp_path: Path) -> None:
    settings = load_project(tmp_path / "own")
    processes = [start(WRITE, settings.root, folder=tmp_path) for _ in range(4)]
    outcomes = [outcome for process in processes for outcome in json.loads(finish(process)[0])]
    assert {(outcome["uri"], outcome["warning"]) for outcome in outcomes} == {(str(settings.root / LOCAL_FILE), "")}
    client = make_client(settings)
    numbers = [client.get_run(outcome["run_id"]).data.metrics["number"] for outcome in outcomes]
    assert sorted(numbers) == sorted([0, 1, 2, 3, 4] * 4)


@pytest.mark.long
def test_a_real_server_takes_all(settings: Settings, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{find_free_port()}"
    asked = ["--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}", "--artifacts-destination", str(tmp_path)]
    command = [sys.executable, "-m", "mlflow", "server", "--port", address.rpartition(":")[2], "--workers", "1", *asked]
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for_server(address)
        settings = load_project(settings.root, f"tracking_uri: '{address}', registered_model: 'shop.{{id}}'")
        with track(settings, SUBJECT) as record:
            log_everything(record)
        assert record.outcome.warning == ""
        assert (record.outcome.uri, record.outcome.model_uri) == (address, "models:/shop.summer/1")
        process = start("import json, logging, mlflow, sys\nsaid = {}" + LOAD, address, folder=tmp_path)
        printed, _ = finish(process, record.outcome.model_uri)
        check_scores(json.loads(printed))
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def wait_for_server(address: str) -> None:
    import requests

    for _ in range(240):
        with suppress(requests.RequestException):
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        time.sleep(0.5)
    pytest.fail("The server did not start.")
