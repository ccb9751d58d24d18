"""The option `--metrics-file`, of commands after which monitoring wants to know how things stand."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from segengine.errors import SegEngineError

if TYPE_CHECKING:
    from segengine.api import Project

logger = logging.getLogger(__name__)


def _check(_context: click.Context, _option: click.Parameter, file: Path | None) -> Path | None:
    """Refuse, before any work is done, a file that could not be written."""
    if file is not None:
        from segengine.operations.metrics import check_metrics_file

        check_metrics_file(file)
    return file


metrics_option = click.option(
    "--metrics-file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="SEGENGINE_METRICS_FILE",
    metavar="FILE.prom",
    callback=_check,
    help="Write metrics for node_exporter's textfile collector.",
)


@contextmanager
def metrics_written(project: Project, file: Path | None) -> Iterator[None]:
    """Write metrics after the block, however it ended."""
    try:
        yield
    except BaseException:
        try:
            if file is not None:
                project.write_metrics(file)
        except SegEngineError as second:
            logger.warning("%s", second)  # what ended the block is what is to be told
        raise
    if file is not None:
        project.write_metrics(file)
