"""The launcher without an engine: help, exit codes, errors on the right stream."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import segengine
from segengine.cli.main import cli, entrypoint, main
from segengine.cli.maintenance_commands import _show as _show_maintained
from segengine.demo.projects import copy_project
from segengine.operations.maintain import MaintainReport, TableUpkeep
from segengine.project.schema_lock import dump_lock
from segengine.store.upkeep import TableContent

LOCK = {"customers": {"customer_id": "text", "state": "text", "income": "decimal(12,2)"}}
PROJECT = """\
project: small
tables:
  customers: {path: data/customers, key: customer_id}
audiences:
  customer: {table: customers}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "segengine.yml").write_text(PROJECT)
    (tmp_path / "schema.lock.yml").write_text(dump_lock(LOCK))
    (tmp_path / "definitions").mkdir()
    return tmp_path


def write(project: Path, text: str) -> None:
    (project / "definitions" / "segments.yml").write_text(text)


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for path in commands(cli):
        assert main([*path, "--help"]) == 0
        text = capsys.readouterr().out
        assert text.startswith(f"Usage: segengine {' '.join(path)}")
        first_sentence = text.splitlines()[2].strip()
        assert len(first_sentence) > 10, path


def test_help_names_every_top_level_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out.split("Commands:")[1]
    assert [line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2] != " "] == sorted(
        cli.commands
    )


def test_help_takes_the_width_of_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["--help"]) == 0
    assert "what is there is what runs (FILES: only these).\n" in capsys.readouterr().out


def test_the_readme_lists_the_commands_that_exist() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    block = readme.split("<!-- commands -->")[1]
    listed = {
        line.strip("|` ").split("`")[0].removeprefix("segengine ")
        for line in block.splitlines()
        if "| `seg" in line[:6]
    }
    assert listed == {" ".join(path) for path in commands(cli)}


@pytest.mark.parametrize("argv", [["refresh", "--no-such-option"], ["no-such-command"], ["segments", "show"]])
def test_wrong_usage_is_exit_code_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Usage:" in captured.err


def test_a_folder_without_a_project_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--conf", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.err == (
        f"error: There is no segengine.yml in {tmp_path}.\n"
        "hint: Run `segengine init DIR` for a new project, `segengine demo` for an example, or use --conf FOLDER.\n"
    )


def test_init_writes_a_project_that_needs_only_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    assert main(["init", str(folder)]) == 0
    assert "segengine schema pull" in capsys.readouterr().out
    assert main(["validate", "--conf", str(folder)]) == 3
    assert "Run `segengine schema pull` first." in capsys.readouterr().out
    assert main(["init", str(folder)]) == 2
    (folder / "schema.lock.yml").write_text(dump_lock(LOCK))
    assert main(["validate", "--conf", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 definition(s): 0 error(s), 0 other issue(s)"


def test_init_and_the_others_name_the_folder_they_are_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a: #shop"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert main(["validate"]) == 2
    assert f"There is no segengine.yml in {folder}.\n" in capsys.readouterr().err
    assert main(["init", "."]) == 0
    assert main(["init", "."]) == 2
    assert f"error: {folder} has a segengine.yml already.\n" in capsys.readouterr().err
    (folder / "schema.lock.yml").write_text(dump_lock(LOCK))
    assert main(["validate"]) == 0, capsys.readouterr().out


def test_validate_prints_every_problem_with_its_place(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(project, "kind: segment\nname: A\nwhere: {stat: Texas}\n---\nkind: segment\nname: B\nwhere: {income: much}\n")
    assert main(["validate", "--conf", str(project)]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("definitions/segments.yml:3: error SEG204 unknown-attribute:")
    assert 'Did you mean "state"?' in lines[0]
    assert lines[1].startswith("definitions/segments.yml:7: error SEG207 bad-value:")
    assert lines[-1] == "2 definition(s): 2 error(s), 0 other issue(s)"


def test_validate_as_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(project, "kind: segment\nname: A\nwhere: {stat: Texas}\n")
    assert main(["validate", "--conf", str(project), "-o", "json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    assert (document["definition_count"], document["error_count"]) == (1, 1)
    assert [(issue["code"], issue["line"]) for issue in document["issues"]] == [("SEG204", 3)]


def test_json_stays_parseable_on_failure(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(project, "kind: segment\nname: A\nwhere: everyone\n")
    assert main(["explain", "Nobody", "--conf", str(project), "-o", "json"]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["message"] == 'There is no definition "Nobody".'
    assert captured.err.startswith("error:")


def test_explain_needs_no_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy_project("contoso", tmp_path)
    assert main(["explain", "web_only", "--conf", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "purchases > customer" in text
    assert "purchases > customer:\n  some row: any row, but not: channel equals web\n" in text
    assert main(["explain", "--conf", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "\n  at least 12 rows: purchased_at on_or_after 2026-01-01\n" in text
    profiles = text.partition("\ncustomers:\n")[2].partition("\n\n")[0].splitlines()
    assert ("  any profile" in profiles, "  income greater_than 90000" in profiles) == (True, True)
    assert [line for line in profiles if "row" in line] == [], "a profile is no row"
    assert "purchases_per_month:" not in text, "what no segment asks anything has no lines"
    assert main(["explain", "--conf", str(tmp_path), "-o", "json"]) == 0
    (audience,) = json.loads(capsys.readouterr().out)["audiences"]
    assert audience["segment_count"] == 21
    assert [scan["table"] for scan in audience["scans"]].count("purchases") == 1


def test_explain_anchors_relative_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy_project("contoso", tmp_path)
    definition = "kind: segment\nname: A\nrules: [{over: purchases, where: {purchased_at: {within_last: 20 days}}}]\n"
    (tmp_path / "definitions" / "recent.yml").write_text(definition)
    arguments = ["explain", "A", "--conf", str(tmp_path), "-o", "json"]
    assert main([*arguments, "--as-of", "2024-12-31T12:00:00Z"]) == 0
    (audience,) = json.loads(capsys.readouterr().out)["audiences"]
    rows = audience["scans"][1]
    assert rows["limits"] == ["2024-12-11T08:00:00Z <= purchased_at < 2024-12-31T12:00:00.000001Z"]
    assert rows["clauses"] == ["purchased_at within_last 20 days"]
    assert main(["explain", "A", "--conf", str(tmp_path), "--as-of", "soon"]) == 2


def test_environment_variables_set_options(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, "kind: segment\nname: A\nwhere: everyone\n")
    monkeypatch.setenv("SEGENGINE_CONF", str(project))
    monkeypatch.setenv("SEGENGINE_OUTPUT", "json")
    assert main(["validate"]) == 0
    assert json.loads(capsys.readouterr().out)["issues"] == []


def test_as_of_must_be_a_time(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["refresh", "--as-of", "yesterday", "--conf", str(project)]) == 2
    assert capsys.readouterr().err.startswith("error: time 'yesterday': expected a timestamp")


def test_the_schema_that_ships_is_the_one_that_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    """After a change to the operators: `segengine schema json --generic > segengine/definitions.schema.json`."""
    assert main(["schema", "json", "--generic"]) == 0
    assert (Path(segengine.__file__).parent / "definitions.schema.json").read_text() == capsys.readouterr().out


def test_a_reader_that_goes_away_is_no_failure() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "segengine", "schema", "json", "--generic"]
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize(("arguments", "ends"), [(None, [2]), (["no", "such", "command"], [])])
def test_a_process_of_its_own_ends_at_once_after_the_embedded_engine(
    arguments: list[str] | None, ends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job's process is not the command's: its interpreter goes on."""
    left: list[int] = []
    monkeypatch.setattr(sys, "argv", ["segengine", "no", "such", "command"])
    monkeypatch.setitem(sys.modules, "pysail", sys)
    monkeypatch.setattr("os._exit", left.append)
    with pytest.raises(SystemExit) as stop:
        entrypoint(arguments)
    assert stop.value.code == 2
    assert left == ends


def test_maintain_says_whose_rows_went_where_no_snapshot_was_thinned(capsys: pytest.CaptureFixture[str]) -> None:
    content = TableContent(783, 142, 6_400_000)
    swept = MaintainReport(True, (), (TableUpkeep("snapshots", content, 382),), 2.94)
    _show_maintained(swept, "table")
    last = "no snapshot would be thinned, 382 row(s) of runs that did not end would go (2.9 s)"
    assert capsys.readouterr().out.splitlines()[-1] == last
    _show_maintained(MaintainReport(True, (), (TableUpkeep("snapshots", content, 0),), 2.94), "table")
    assert capsys.readouterr().out.splitlines()[-1] == "no snapshot would be thinned (2.9 s)"
