"""The command `segengine`."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

import click

from segengine import __version__
from segengine.cli import (
    analysis_commands,
    backfill_command,
    definition_commands,
    insight_commands,
    maintenance_commands,
    measure_commands,
    model_commands,
    project_commands,
    quick_commands,
    registry_commands,
    run_commands,
    segment_commands,
    status_command,
    suggest_commands,
)
from segengine.cli.log import is_json, logged, say_event, say_summary
from segengine.cli.output import SCHEMA_VERSION
from segengine.errors import DefinitionError, SegEngineError

EXIT_CANCELED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="segengine")
def cli() -> None:
    """Batch customer segmentation: a thousand segments, each table read once.

    \b
    Start here:  segengine demo            an example company in a folder, evaluated
                 segengine init DIR        a project of your own
    Have a look: segengine schema show     what rules can be about
                 segengine quick           one attribute; a segment of one condition
    Every day:   segengine validate        check definition files (no engine)
                 segengine plan, apply     compare them with what runs, record them
                 segengine refresh         evaluate and publish
                 segengine backfill        the past of what is new
                 segengine status          what ran, how it ended, what is due
                 segengine segments list   look at the result; also measures list
                 segengine similar         the model behind a segment of similar customers
                 segengine suggest         groups worth a segment; save one
                 segengine insights        what sets segments apart, what they share
    Keep order:  segengine history, usage  what changed, who would notice; segments tag, edit, delete
                 segengine maintain        thin old snapshots, tidy up files; forget: erase a person

    Exit codes: 0 done, 1 run failed, 2 wrong usage, 3 definitions invalid, 4 finished but something failed, was
    skipped or held back, 5 another run holds the lease, 130 canceled.
    """  # noqa: D301 - click wants the character, to keep the lines of a paragraph


analysis_commands.add_analysis_commands(suggest_commands.suggest, "suggestion")
analysis_commands.add_analysis_commands(insight_commands.insights, "insight")
for command in (
    project_commands.init,
    project_commands.demo,
    project_commands.doctor,
    project_commands.schema,
    definition_commands.validate,
    definition_commands.plan,
    definition_commands.apply,
    definition_commands.get,
    definition_commands.explain,
    registry_commands.history,
    registry_commands.usage,
    run_commands.refresh,
    backfill_command.backfill,
    run_commands.release,
    run_commands.drop,
    segment_commands.segments,
    measure_commands.measures,
    quick_commands.quick,
    model_commands.similar,
    suggest_commands.suggest,
    insight_commands.insights,
    registry_commands.consumers,
    status_command.status,
    maintenance_commands.maintain,
    maintenance_commands.forget,
):
    cli.add_command(command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; never raises for a user's mistake.

    Args:
        argv: The arguments without the program's name; None: those of this process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    with logged():
        code = _run(arguments)
        say_summary(code)
    return code


def _run(arguments: list[str]) -> int:
    try:
        with _canceled_by_sigterm():
            result = cli.main(args=arguments, prog_name="segengine", standalone_mode=False)
    except SegEngineError as error:
        _report(error, arguments)
        return error.exit_code
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say_canceled()
        return EXIT_CANCELED
    except click.ClickException as error:
        if is_json():
            say_event("error", "error", kind=type(error).__name__, message=error.format_message(), hint="", issues=[])
        else:
            error.show()
        return error.exit_code
    except (BrokenPipeError, SystemExit):  # click itself leaves so where a pipe is broken
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader went away: nothing more can be said there
        return 0
    return result if isinstance(result, int) else 0


@contextmanager
def _canceled_by_sigterm() -> Iterator[None]:
    """Let SIGTERM, which schedulers send, cancel as Ctrl-C does; only a process' main thread may ask for signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say_canceled() -> None:
    if is_json():
        say_event("error", "error", kind="Canceled", message="canceled", hint="", issues=[])
    else:
        click.echo("canceled", err=True)


def _report(error: SegEngineError, arguments: Sequence[str]) -> None:
    """Print an error on stderr, for people or machines, and as JSON on stdout where JSON was asked for."""
    issues = error.issues if isinstance(error, DefinitionError) else ()
    found = [issue.as_dict() for issue in issues]
    content = {"kind": type(error).__name__, "message": error.message, "hint": error.hint, "issues": found}
    if is_json():
        say_event("error", "error", **content)
    elif issues:
        for issue in issues:
            click.echo(str(issue), err=True)
    else:
        click.echo(f"error: {error.message}", err=True)
        if error.hint:
            click.echo(f"hint: {error.hint}", err=True)
    if _wants_json(arguments):
        click.echo(json.dumps({"schema_version": SCHEMA_VERSION, "error": content}, indent=2))


def _wants_json(arguments: Sequence[str]) -> bool:
    text = " ".join(arguments)
    asked = any(form in text for form in ("-o json", "-ojson", "--output json", "--output=json"))
    return asked or os.environ.get("SEGENGINE_OUTPUT") == "json"


def _end_process(code: int) -> NoReturn:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the reader went away
            stream.flush()
    os._exit(code)


def entrypoint(argv: Sequence[str] | None = None) -> None:
    """Run the command as `main` does and leave the process; on Databricks even exit code 0 would count as a failure.

    Without `argv` the process is the command's own: it ends at once where the embedded engine ran in it. Threads of the
    engine may still let go of what they have of Python, and an interpreter that is taken apart meanwhile aborts.
    """
    code = main(argv)
    if argv is None and "pysail" in sys.modules:
        _end_process(code)
    if code:
        sys.exit(code)
