"""Names of the tables that definitions are written to for other tools: no two may share one."""

from __future__ import annotations

from collections.abc import Iterable

from segengine.project.analysis import Analysis, Evaluated
from segengine.project.measure import Measure
from segengine.project.model import Segment
from segengine.project.names import SEGMENT_MEMBERS, make_measure_table, make_output_table
from segengine.project.problems import Problems


def find_output_table_issues(definitions: Iterable[Evaluated], audiences: Iterable[str], problems: Problems) -> None:
    """Report segments and insights whose output table is that of something else."""
    found = list(definitions)
    others = {SEGMENT_MEMBERS: "all segments' members as rows"}
    others |= {make_measure_table(audience).lower(): f'the measures of audience "{audience}"' for audience in audiences}
    tables = [each for each in found if isinstance(each, Measure) and not each.is_attribute]
    others |= {make_output_table(measure.name).lower(): f'measure "{measure.name}"' for measure in tables}
    for analysis in found:
        if isinstance(analysis, Analysis) and analysis.kind == "insight":
            own = f'insight "{analysis.name}"'
            other = others.setdefault(analysis.output_table.lower(), own)
            if other != own:
                problems.subject = own
                message = f'the output table "{analysis.output_table}" is already that of {other}.'
                problems.add(analysis.place, "SEG402", message, "Give the insight another name.")
    seen: dict[str, Segment] = {}
    for segment in found:
        if isinstance(segment, Segment):
            _find_issues_of_segment(segment, others, seen, problems)


def _find_issues_of_segment(
    segment: Segment, others: dict[str, str], seen: dict[str, Segment], problems: Problems
) -> None:
    problems.subject = f'segment "{segment.name}"'
    if other := others.get(segment.output_table.lower()):
        message = f'the output table "{segment.output_table}" is already that of {other}.'
        problems.add(segment.place, "SEG402", message, "Give the segment another with `output_table:`.")
    first = seen.setdefault(segment.output_table.lower(), segment)
    if first is not segment:
        message = f'the output table "{segment.output_table}" is already that of "{first.name}" ({first.place}).'
        problems.add(segment.place, "SEG402", message, "Give one of them its own with `output_table:`.")
