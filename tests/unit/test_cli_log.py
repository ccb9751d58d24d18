"""What commands say on stderr: JSON for machines, and a bar on a terminal."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from launching import Terminal

from segengine.cli.log import ProgressReport, logged, say_event, set_verbose
from segengine.cli.main import main
from segengine.demo.projects import copy_project
from segengine.operations.evaluation import Phase


@pytest.fixture
def coffee(tmp_path: Path) -> Path:
    folder = tmp_path / "coffee"
    copy_project("contoso", folder)
    return folder


def events(text: str) -> list[dict[str, Any]]:
    """Return the lines of a log, every one of which is an object with a time, a level and seconds."""
    found = [json.loads(line) for line in text.splitlines()]
    for event in found:
        assert datetime.fromisoformat(event.pop("at")).utcoffset() is not None
        assert event.pop("seconds") >= 0
    return found


def test_a_command_that_ends_well_says_so(coffee: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--conf", str(coffee), "--log-format", "json"]) == 0
    captured = capsys.readouterr()
    assert "37 definition(s): 0 error(s)" in captured.out
    assert events(captured.err) == [
        {"level": "info", "event": "summary", "command": "segengine validate", "exit_code": 0}
    ]


def test_errors(
    coffee: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGENGINE_LOG_FORMAT", "json")
    (coffee / "definitions" / "bad.yml").write_text("kind: segment\nname: Bad\nwhere: {stade: Texas}\n")
    assert main(["explain", "--conf", str(coffee)]) == 3
    error, summary = events(capsys.readouterr().err)
    assert (error["level"], error["event"], error["kind"]) == ("error", "error", "DefinitionError")
    (issue,) = error["issues"]
    assert (issue["code"], issue["line"], Path(issue["file"]).name) == ("SEG204", 3, "bad.yml")
    assert (summary["event"], summary["level"], summary["exit_code"]) == ("summary", "error", 3)
    assert main(["explain", "--conf", str(tmp_path / "nowhere")]) == 2
    error, summary = events(capsys.readouterr().err)
    assert error["kind"] == "ConfigError"
    assert "nowhere" in error["message"]
    assert "segengine init" in error["hint"]
    assert main(["explain", "--no-such-option"]) == 2
    (error,) = events(capsys.readouterr().err)
    assert (error["kind"], error["message"]) == ("NoSuchOption", "No such option '--no-such-option'.")


def test_the_next_command_begins_anew(coffee: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--conf", str(coffee), "--log-format", "json"]) == 0
    capsys.readouterr()
    assert main(["explain", "nobody", "--conf", str(coffee)]) == 2
    assert capsys.readouterr().err.startswith("error: There is no definition")


def test_a_format_that_does_not_exist(coffee: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--conf", str(coffee), "--log-format", "xml"]) == 2
    assert "'xml' is not one of 'text', 'json'" in capsys.readouterr().err


def test_warnings_and_what_verbose_adds(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("segengine.store.control")
    handlers = list(logging.getLogger("segengine").handlers)
    monkeypatch.setenv("SEGENGINE_LOG_FORMAT", "json")
    with logged():
        logger.info("not said")
        logger.warning("late: %s", 3)
        set_verbose(True)
        logger.info("said")
    common = {"event": "log", "logger": "segengine.store.control"}
    assert events(capsys.readouterr().err) == [
        {"level": "warning", "message": "late: 3", **common},
        {"level": "info", "message": "said", **common},
    ]
    monkeypatch.delenv("SEGENGINE_LOG_FORMAT")
    with logged():
        logger.info("not said: the level is as before")
        logger.warning("late")
    assert capsys.readouterr().err == "late\n"
    assert logging.getLogger("segengine").handlers == handlers


def test_values_that_json_has_not(capsys: pytest.CaptureFixture[str]) -> None:
    say_event("summary", as_of=datetime.fromisoformat("2026-01-02T03:04:05+00:00"), file=Path("a/b"))
    event = json.loads(capsys.readouterr().err)
    assert (event["as_of"], event["file"]) == ("2026-01-02T03:04:05Z", "a/b")


def use_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Stand a terminal in for stderr; not as a fixture: pytest sets stderr anew when the test itself begins."""
    stderr = Terminal()
    monkeypatch.setattr("sys.stderr", stderr)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return stderr


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use_terminal(monkeypatch)
    with logged(), ProgressReport() as progress:
        progress("starting")
        bar = progress._bar
        assert bar is not None
        bar.refresh()
        assert " 0 s" in terminal.getvalue(), "how long it goes on"
        assert " of about " not in terminal.getvalue()
        progress(Phase("evaluating [all] of it", 28.2))
        progress(Phase("publishing", 28.2))
        bar.refresh()
    shown = terminal.getvalue()
    assert " 0 s of about 28 s" in shown
    assert [shown.count(line) for line in ("s] starting", "s] evaluating [all] of it", "s] publishing")] == [1, 1, 1]
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1, "the cursor is there again"
    assert shown.index("s] starting") < shown.index("s] evaluating")


def test_no_bar_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with logged(), ProgressReport() as progress:
        progress(Phase("evaluating", 28.0))
    assert capsys.readouterr().err == "[   0.0 s] evaluating\n"


def test_no_bar_for_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use_terminal(monkeypatch)
    monkeypatch.setenv("SEGENGINE_LOG_FORMAT", "json")
    with logged(), ProgressReport() as progress:
        progress("starting")
        progress(Phase("evaluating", 28.0))
    assert events(terminal.getvalue()) == [
        {"level": "info", "event": "progress", "message": "starting"},
        {"level": "info", "event": "progress", "message": "evaluating", "expected_seconds": 28.0},
    ]


def test_the_bar_goes_where_the_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        with logged(), ProgressReport() as progress:
            progress("starting")
            raise KeyboardInterrupt

    terminal = use_terminal(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert terminal.getvalue().count("\x1b[?25h") == 1
