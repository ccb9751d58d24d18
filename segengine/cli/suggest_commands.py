"""Commands on suggestions."""

from __future__ import annotations

import click


@click.group()
def suggest() -> None:
    """Look at suggestions for new segments, and keep them in order."""
