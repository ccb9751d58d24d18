"""Options that mean the same everywhere; each also from an environment variable SEGENGINE_<OPTION>."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from segengine.cli.log import log_format_option
from segengine.cli.periods import PERIODS

Command = TypeVar("Command", bound=Callable[..., Any])
FORMATS = ("table", "json", "yaml", "csv")


def project_options(command: Command) -> Command:
    """Add `--conf`, `--env` and `--engine` (which project, with which overlay, on which engine), and `--log-format`."""
    for option in reversed(
        (
            click.option(
                "--conf",
                type=click.Path(file_okay=False, path_type=Path),
                default=Path(),
                envvar="SEGENGINE_CONF",
                metavar="FOLDER",
                help="Folder with segengine.yml (default: this one).",
            ),
            click.option(
                "--env", "environment", default="", envvar="SEGENGINE_ENV", metavar="NAME", help="Overlay to use."
            ),
            click.option(
                "--engine",
                default="",
                envvar="SEGENGINE_ENGINE",
                metavar="ENGINE",
                help="embedded, spark or sc://host:port instead of the project's.",
            ),
            log_format_option,
        )
    ):
        command = option(command)
    return command


def output_option(*formats: str) -> Callable[[Command], Command]:
    """Return the option `-o` with the formats a command offers; the first is the default."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(formats or FORMATS),
        default=(formats or FORMATS)[0],
        show_default=True,
        envvar="SEGENGINE_OUTPUT",
        help="How to print the result.",
    )


as_of_option = click.option(
    "--as-of",
    default=None,
    envvar="SEGENGINE_AS_OF",
    metavar="T",
    help="An RFC 3339 instant, or a date: the end of that local day (default: now).",
)
wait_option = click.option(
    "--wait",
    type=click.FloatRange(0),
    default=0,
    envvar="SEGENGINE_WAIT",
    metavar="MINUTES",
    help="Wait so long for another run to end (default: leave at once, exit code 5).",
)
period_option = click.option(
    "--period",
    type=click.Choice(list(PERIODS)),
    default="all",
    show_default=True,
    help="How far back the trend goes, from the newest snapshot.",
)
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Say more of what is done (on stderr).")


def snapshot_options(command: Any) -> Any:
    """Add the options that choose a snapshot: by its number, or as of a time."""
    number = click.option(
        "--snapshot", type=click.IntRange(1), default=None, help="Number of a snapshot (default: the current one)."
    )
    at = click.option("--at", default=None, metavar="T", help="The snapshot that was newest as of a time or day.")
    return number(at(command))
