"""Shares in words for people."""

from __future__ import annotations


def show_share(share: float) -> str:
    """Return a share in per cent: `12 %`, below ten with one digit where it has one, `0.7 %`."""
    per_cent = 100 * share
    return f"{per_cent:.0f} %" if per_cent >= 10 or per_cent == round(per_cent) else f"{per_cent:.1f} %"
