"""Gates: what a result has to be to become current at once; else it is held back until somebody decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from segengine.engine.freshness import find_newest
from segengine.engine.sources import Sources
from segengine.project.model import Gates
from segengine.report.lines import show_share
from segengine.store.runs import SegmentRun


@dataclass(frozen=True)
class SourceNews:
    """Whether a source has a row, and of when its newest is; None: of no known time."""

    is_empty: bool
    newest: datetime | None


def read_news(sources: Sources, tables: Sequence[str]) -> dict[str, SourceNews]:
    """Return the news of tables as a run reads them.

    Raises:
        RunError: The engine failed.
    """
    return {table: SourceNews(*find_newest(sources, table)) for table in tables}


def find_gate_problems(
    gates: Gates, run: SegmentRun, previous: SegmentRun | None, news: Mapping[str, SourceNews]
) -> list[str]:
    """Return why a result is to be held back, in words.

    Args:
        gates: What is asked.
        run: The result with its counts.
        previous: The snapshot it is compared with; None: there is none.
        news: Of the tables the segment reads, where something is asked of them.
    """
    old, new = (previous.member_count or 0) if previous else 0, run.member_count or 0
    churn = (run.entered_count or 0) + (run.left_count or 0)
    found = [
        _share_problem("the number of members changed by {:,} from {:,}", abs(new - old), old, gates.change_at_most),
        _share_problem("{:,} members entered or left, of {:,} before", churn, old, gates.churn_at_most),
        "it has no members" if gates.not_empty and not new else "",
        f"it has {new:,} members, fewer than {gates.at_least:,}" if new < gates.at_least else "",
    ]
    for table, each in news.items():
        if gates.sources_not_empty and each.is_empty:
            found.append(f'table "{table}" is empty')
        if gates.sources_not_older_than is not None:
            found.append(_age_problem(table, each, run.as_of, gates.sources_not_older_than))
    return [problem for problem in found if problem]


def _share_problem(what: str, count: int, old: int, at_most: Decimal | None) -> str:
    if at_most is None or not old or count <= at_most * old:
        return ""
    return f"{what.format(count, old)} ({show_share(count / old)}), at most {show_share(at_most)} is allowed"


def _age_problem(table: str, news: SourceNews, as_of: datetime, at_most: timedelta) -> str:
    if news.newest is None:
        return f'table "{table}" has no news'
    age = as_of - news.newest
    if age <= at_most:
        return ""
    return f'the news of table "{table}" is {_show_span(age)} old, at most {_show_span(at_most)} are allowed'


def _show_span(span: timedelta) -> str:
    minutes = int(span.total_seconds()) // 60
    hours, days = minutes // 60, minutes // (24 * 60)
    if days >= 10 or minutes == days * 24 * 60:
        return f"{days} days"
    return f"{hours} hours" if hours >= 2 else f"{minutes} minutes"
