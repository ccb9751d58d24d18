"""What starts refreshes: the Airflow DAG, the Databricks bundle, cron and systemd; each runs a command that exists."""

from __future__ import annotations

import configparser
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import click
import jsonschema
import pytest
import yaml

from segengine.cli.main import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXIT_CODES = {0, 1, 2, 3, 4, 5, 130}

# The part of the schema that the Databricks CLI publishes (`databricks bundle schema`, 900 kB) that the bundle uses.
TEXT = {"type": "string", "minLength": 1}
COUNT = {"type": "integer", "minimum": 0}


def closed(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of an object that has these properties and no others."""
    properties = {**required, **(optional or {})}
    return {"type": "object", "properties": properties, "required": [*required], "additionalProperties": False}


WHEEL_TASK = closed({"package_name": TEXT, "entry_point": TEXT}, {"parameters": {"type": "array", "items": TEXT}})
TASK = closed(
    {"task_key": TEXT, "job_cluster_key": TEXT, "python_wheel_task": WHEEL_TASK},
    {
        "max_retries": {"type": "integer", "minimum": -1},
        "min_retry_interval_millis": COUNT,
        "libraries": {"type": "array", "items": closed({"whl": TEXT})},
    },
)
CLUSTER = closed(
    {"spark_version": {"type": "string", "pattern": r"^\d+\.\d+\.x-scala2\.1[23]$"}, "node_type_id": TEXT},
    {"num_workers": COUNT, "data_security_mode": {"enum": ["SINGLE_USER", "USER_ISOLATION", "NONE"]}},
)
JOB = closed(
    {"name": TEXT, "tasks": {"type": "array", "items": TASK, "minItems": 1}},
    {
        "max_concurrent_runs": COUNT,
        "schedule": closed({"quartz_cron_expression": TEXT, "timezone_id": TEXT}),
        "job_clusters": {"type": "array", "items": closed({"job_cluster_key": TEXT, "new_cluster": CLUSTER})},
    },
)
TARGET = closed(
    {"mode": {"enum": ["development", "production"]}},
    {"default": {"type": "boolean"}, "workspace": closed({"root_path": TEXT})},
)
BUNDLE = closed(
    {
        "bundle": closed({"name": TEXT}),
        "resources": closed({"jobs": {"type": "object", "additionalProperties": JOB}}),
        "targets": {"type": "object", "additionalProperties": TARGET},
    },
    {
        "variables": {
            "type": "object",
            "additionalProperties": closed({"description": TEXT}, {"default": {"type": "string"}}),
        }
    },
)


def example(name: str) -> str:
    found = re.search(
        rf"<!-- example: {re.escape(name)} -->\n```\w*\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL
    )
    assert found is not None
    return found[1]


def parse_command(argv: list[str]) -> tuple[str, dict[str, Any]]:
    """Return a command of segengine and its options as its own parser reads them; one it does not know is an error."""
    name, *rest = argv
    command = cli.commands[name]
    return name, command.make_context(name, list(rest), parent=click.Context(cli)).params


class StubbedDag:
    """Stands for airflow.sdk.DAG: takes what its signature documents, and the operators made inside the block."""

    def __init__(
        self,
        dag_id: str,
        *,
        description: str,
        schedule: str,
        start_date: datetime,
        catchup: bool,
        max_active_runs: int,
        params: dict[str, str],
        tags: list[str],
    ) -> None:
        self.dag_id, self.schedule, self.start_date = dag_id, schedule, start_date
        self.catchup, self.max_active_runs, self.params = catchup, max_active_runs, params

    def __enter__(self) -> StubbedDag:
        StubbedBashOperator.made = []
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tasks = StubbedBashOperator.made


class StubbedBashOperator:
    """Stands for the BashOperator of Airflow's standard provider."""

    made: list[StubbedBashOperator]

    def __init__(
        self,
        *,
        task_id: str,
        bash_command: str,
        env: dict[str, str],
        append_env: bool,
        skip_on_exit_code: int,
        retries: int,
        retry_delay: object,
    ) -> None:
        self.bash_command, self.env, self.append_env, self.skipped = bash_command, env, append_env, skip_on_exit_code
        StubbedBashOperator.made.append(self)


def test_the_airflow_dag(monkeypatch: pytest.MonkeyPatch) -> None:
    """By stubs of the few names it uses: Airflow itself takes minutes to install, and pins what others need newer.

    Airflow 3.3 has parsed and run the file by hand (`airflow dags test`); what this cannot see is a later Airflow that
    takes a name or an argument away.
    """
    stubs = {"airflow.sdk": {"DAG": StubbedDag}}
    stubs["airflow.providers.standard.operators.bash"] = {"BashOperator": StubbedBashOperator}
    for name, content in stubs.items():
        for place in range(1, name.count(".") + 2):
            part = ".".join(name.split(".")[:place])
            monkeypatch.setitem(sys.modules, part, sys.modules.get(part) or ModuleType(part))
        for attribute, stub in content.items():
            monkeypatch.setattr(sys.modules[name], attribute, stub, raising=False)
    made: list[StubbedDag] = []
    leave = StubbedDag.__exit__
    monkeypatch.setattr(StubbedDag, "__exit__", lambda self, *error: (leave(self, *error), made.append(self))[0])
    runpy.run_path(str(ROOT / "conf" / "airflow" / "segengine_refresh.py"))
    (dag,) = made
    assert (dag.schedule, dag.catchup, dag.max_active_runs) == ("*/10 * * * *", False, 1)
    assert dag.start_date.tzinfo is not None
    (task,) = dag.tasks
    program, *argv = shlex.split(task.bash_command)
    name, options = parse_command(argv)
    assert (program, name, options["due"]) == ("segengine", "refresh", True)
    assert task.append_env, "without it the command is not on PATH"
    options_by_variable = {each.envvar for each in cli.commands["refresh"].params if isinstance(each, click.Option)}
    assert set(task.env) <= options_by_variable
    assert all(re.fullmatch(r"{{ params\.(\w+) }}", value)[1] in dag.params for value in task.env.values())  # type: ignore[index]
    assert task.skipped in EXIT_CODES
    assert f"{task.skipped} another run holds the lease" in README


def load_bundle() -> dict[str, Any]:
    bundle: dict[str, Any] = yaml.safe_load((ROOT / "conf" / "databricks" / "databricks.yml").read_text())
    return bundle


def test_the_databricks_bundle() -> None:
    """By the part of the published schema that it uses, written down here; the whole one has accepted it by hand.

    No workspace has run it: that the wheel starts there is what its documentation says of an entry point.
    """
    bundle = load_bundle()
    jsonschema.validate(bundle, BUNDLE)
    (job,) = bundle["resources"]["jobs"].values()
    (task,) = job["tasks"]
    assert task["job_cluster_key"] in {cluster["job_cluster_key"] for cluster in job["job_clusters"]}
    wheel = task["python_wheel_task"]
    assert f'{wheel["entry_point"]} = "segengine.cli.main:entrypoint"' in (ROOT / "pyproject.toml").read_text()
    name, options = parse_command(wheel["parameters"])
    assert (name, options["due"], options["engine"]) == ("refresh", True, "spark")
    used = set(re.findall(r"\$\{var\.(\w+)\}", (ROOT / "conf" / "databricks" / "databricks.yml").read_text()))
    assert used == set(bundle["variables"])


def test_a_wrong_bundle_is_found() -> None:
    bundle = load_bundle()
    bundle["resources"]["jobs"]["refresh"]["task"] = []
    with pytest.raises(jsonschema.ValidationError, match="'task' was unexpected"):
        jsonschema.validate(bundle, BUNDLE)


def test_the_cron_line() -> None:
    (line,) = example("cron").splitlines()
    *times, rest = line.split(maxsplit=5)
    assert times == ["*/10", "*", "*", "*", "*"]
    command, log = rest.split(" >> ")
    setting, program, *argv = shlex.split(command)
    assert (setting.split("=")[0], Path(program).name) == ("SEGENGINE_CONF", "segengine")
    assert parse_command(argv)[1]["due"]
    assert log.endswith("2>&1"), "cron mails what is printed"


def test_the_systemd_units(tmp_path: Path) -> None:
    """By systemd where it is installed, else as the sections and keys they have."""
    program = shutil.which("segengine", path=str(Path(sys.executable).parent)) or sys.executable
    units = {name: example(name) for name in ("segments.service", "segments.timer")}
    parsed = {}
    for name, text in units.items():
        (tmp_path / name).write_text(text.replace("/opt/segengine/bin/segengine", program))
        parsed[name] = configparser.ConfigParser(interpolation=None)
        parsed[name].optionxform = str  # type: ignore[assignment, method-assign]
        parsed[name].read_string(text)
    service = parsed["segments.service"]["Service"]
    _, *argv = shlex.split(service["ExecStart"])
    argv[argv.index("--metrics-file") + 1] = str(tmp_path / "segments.prom")
    assert parse_command(argv)[1]["due"]
    assert int(service["SuccessExitStatus"]) in EXIT_CODES
    assert parsed["segments.timer"]["Timer"]["OnCalendar"] == "*:0/10"
    if verify := shutil.which("systemd-analyze"):
        files = [str(tmp_path / name) for name in units]
        done = subprocess.run([verify, "verify", *files], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
