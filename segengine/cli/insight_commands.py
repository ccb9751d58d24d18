"""Commands on insights."""

from __future__ import annotations

import click


@click.group()
def insights() -> None:
    """Look at insights: what sets segments apart, what they share."""
