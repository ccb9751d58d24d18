"""The launcher on the embedded engine: a newcomer's first five minutes, as processes and in this one."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from launching import run

from segengine import Project
from segengine.demo.projects import project_files


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The demo, made once by a process that has no Java."""
    folder = tmp_path_factory.mktemp("demo") / "contoso"
    environment = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}
    environment["PATH"] = str(Path(sys.executable).parent)
    command = [sys.executable, "-m", "segengine", "demo", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_demo_shows_segments_a_chart_and_what_to_try_next(demo: tuple[Path, str]) -> None:
    _, shown = demo
    assert "Customers from California        2,013    40.3 %" in shown
    assert "Members of Web only" in shown
    assert "segengine segments members web_only -o csv" in shown
    assert "\nLifetimeSpend  0.79  ███████████████▉  0.76 to 0.82  higher, average 4,212 against 226.9; " in shown
    assert "segengine similar summerpromoexpansion" in shown
    assert "segengine insights show high_value_online_and_customers_from_california" in shown
    assert "\x1b[" not in shown  # no colour where nobody looks


def test_the_lock_that_ships_is_what_a_pull_finds(demo: tuple[Path, str]) -> None:
    assert (demo[0] / "schema.lock.yml").read_text() == (project_files("contoso") / "schema.lock.yml").read_text()


def test_the_demo_refuses_a_folder_that_is_not_empty(
    demo: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "demo", str(demo[0]))
    assert (code, out) == (2, "")
    assert "not empty" in err


def test_the_demo_with_accounts_and_contacts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "harbor"
    code, out, err = run(capsys, "demo", "--project", "harbor_supply", str(folder))
    assert code == 0, err
    assert "All accounts                          400   100.0 %" in out
    assert "8 measures and 26 segments from one scan of each" in out
    _, out, _ = run(capsys, "segments", "list", "--conf", str(folder), "-o", "json")
    audiences = {segment["name"]: segment["audience"] for segment in json.loads(out)["segments"]}
    assert (audiences["Key accounts"], audiences["Led a won deal"]) == ("account", "contact")


def test_list_show_and_status(demo: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    conf = str(demo[0])
    code, out, _ = run(capsys, "segments", "list", "--conf", conf, "-o", "json")
    segments = {segment["id"]: segment for segment in json.loads(out)["segments"]}
    assert code == 0
    assert len(segments) == 22
    assert segments["everyone"]["member_count"] == 5000
    assert segments["everyone"]["snapshot_version"] == 8
    code, out, _ = run(capsys, "segments", "show", "Web only", "--conf", conf)
    assert code == 0
    assert "as of 2026-06-30 23:59 (snapshot 8)" in out
    assert "used by: Moved to the web" in out
    code, out, _ = run(capsys, "status", "--conf", conf)
    assert code == 0
    assert out.startswith("no run is under way")
    assert (out.count("32 Successful"), out.count("37 Successful")) == (7, 1)


def test_members_preview_and_all(demo: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    conf = str(demo[0])
    _, out, _ = run(capsys, "segments", "members", "web_only", "--conf", conf)
    assert '100 of 1,410 members of "Web only"' in out
    _, out, _ = run(capsys, "segments", "members", "web_only", "-o", "csv", "--conf", conf)
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0] == ["customer_id"]
    assert len({row[0] for row in rows[1:]}) == len(rows) - 1 == 1410
    first = ("segments", "members", "web_only", "--limit", "3")
    _, out, _ = run(capsys, *first, "-o", "csv", "--conf", conf)
    assert len(out.splitlines()) == 4
    assert '3 of 1,410 members of "Web only"' in run(capsys, *first, "--conf", conf)[1]
    assert run(capsys, *first, "--all", "--conf", conf)[0] == 2
    changes = ("segments", "changes", "web_only", "--limit", "3", "-o", "csv", "--conf", conf)
    assert [line.split(",")[0] for line in run(capsys, *changes)[1].splitlines()[1:]] == ["entered"] * 3 + ["left"] * 3
    _, out, _ = run(capsys, "segments", "members", "web_only", "--snapshot", "1", "-o", "json", "--conf", conf)
    assert json.loads(out)["members"]["member_count"] == 1291
    code, _, err = run(capsys, "segments", "members", "web_only", "--snapshot", "99", "--conf", conf)
    assert code == 2
    assert 'Segment "Web only" has no snapshot 99.' in err


def test_edit_plan_apply_refresh_get(demo: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    folder = demo[0]
    conf = ("--conf", str(folder))
    extra = folder / "definitions" / "extra.yml"
    extra.write_text("kind: segment\nname: Texans\nwhere: {state: Texas}\n")
    code, out, _ = run(capsys, "plan", *conf)
    assert code == 0
    assert '+ segment texans "Texans" created' in out
    assert "37 unchanged" in out
    assert run(capsys, "apply", *conf)[0] == 0
    code, out, err = run(capsys, "refresh", "Texans", *conf, "-o", "json", "--output-tables")
    assert code == 0
    assert "evaluating 1 segment(s)" in err
    (segment,) = json.loads(out)["segments"]
    assert segment["status"] == "Successful"
    assert (folder / "warehouse" / "output" / "Texans" / "_delta_log").is_dir()
    code, out, _ = run(capsys, "get", "Texans", *conf)
    extra.write_text(out)
    code, out, _ = run(capsys, "plan", *conf)
    assert "38 unchanged" in out, "what get prints, apply takes as unchanged"
    code, _, err = run(capsys, "refresh", "Texas", *conf)
    assert code == 2
    assert 'Did you mean "Texans"?' in err


def test_the_python_api_does_the_same(demo: tuple[Path, str]) -> None:
    with Project(demo[0]) as project:
        assert project.validate().error_count == 0
        report = project.refresh(["everyone", "Millennials"])
        assert {run.segment_id: run.member_count for run in report.segments} == {"everyone": 5000, "millennials": 2913}
        assert len(project.members("Millennials")) == 100
        assert len(set(project.members("Millennials", limit=None))) == 2913
        assert project.segment("everyone").summary.current is not None
        assert project.status().runs[0].run.run_id == report.run_id


def test_doctor_says_what_works_here(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "doctor", "--engine", "embedded", "-o", "json")
    report = json.loads(out)
    assert code == 0
    assert report["ok"] is True
    assert report["engines"][0]["state"] == "ok"
