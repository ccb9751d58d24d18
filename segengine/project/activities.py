"""Activities: what the rows of a table say that somebody did, for templates of measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from segengine.project.nodes import Fields, Node
from segengine.project.problems import Problems, did_you_mean
from segengine.project.project_file import Activity, Schema, Settings, Table
from segengine.project.types import Family


@dataclass(frozen=True)
class ActivityColumn:
    """What a column of an activity is for, and which types it may have."""

    summary: str
    families: tuple[Family, ...]


_TIMES = (Family.DATE, Family.TIMESTAMP)
ACTIVITY_COLUMNS: Mapping[str, ActivityColumn] = {
    "at": ActivityColumn("when it happened", _TIMES),
    "amount": ActivityColumn("what it was worth", (Family.NUMBER,)),
    "start": ActivityColumn("from when it lasted", _TIMES),
    "end": ActivityColumn("until when it lasted; missing while it goes on", _TIMES),
    "earned": ActivityColumn("the points earned", (Family.NUMBER,)),
    "redeemed": ActivityColumn("the points redeemed", (Family.NUMBER,)),
}
ACTIVITY_FIELDS = ("table", *ACTIVITY_COLUMNS)


def read_activities(node: Node | None, tables: Mapping[str, Table], problems: Problems) -> dict[str, Activity]:
    """Return the activities of a project file by name."""
    if node is not None and not isinstance(node, Fields):
        problems.wrong_form(node, "activities", "a mapping of names to tables and columns")
        return {}
    activities: dict[str, Activity] = {}
    for key, value in node.entries if node else ():
        name = key.text or ""
        problems.subject = f'activity "{name}"'
        fields = problems.fields(value, "an activity", ACTIVITY_FIELDS, "SEG101")
        table = problems.text(fields.get("table"), "table") if fields else None
        if fields is None or table is None:
            problems.add(key.place, "SEG101", "names no table.")
        elif table not in tables:
            problems.add(key.place, "SEG103", f'there is no table "{table}".', did_you_mean(table, tables))
        else:
            columns = {column: problems.text(fields.get(column), column) or "" for column in ACTIVITY_COLUMNS}
            activities[name] = Activity(name, table, **columns, place=key.place)
    problems.subject = ""
    return activities


def column_of(activity: Activity, role: str) -> str:
    """Return the column that plays a role in an activity, or '' where none does."""
    return str(getattr(activity, role))


def find_activity_issues(settings: Settings, schema: Schema, problems: Problems) -> None:
    """Report columns of activities that their tables do not have, or whose type is another than is meant."""
    for activity in settings.activities.values():
        columns = schema.columns[activity.table]
        for role, meant in ACTIVITY_COLUMNS.items():
            name = column_of(activity, role)
            if not name or not columns:
                continue
            what = f'activity "{activity.name}": {role} "{name}"'
            if name not in columns:
                message = f'{what} is no column of table "{activity.table}".'
                problems.add(activity.place, "SEG107", message, did_you_mean(name, columns))
            elif columns[name].family not in meant.families:
                expected = " or ".join(f"a {family}" for family in meant.families)
                message = f"{what} is {columns[name]}, expected {expected}: {meant.summary}."
                problems.add(activity.place, "SEG108", message)
