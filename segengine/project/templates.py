"""Templates: measures that are often wanted, written out as values over the rows of an activity.

The twelve are those Microsoft lists for Dynamics 365 Customer Insights - Data ("Create measures from templates"),
which publishes their names, not their formulas. Ours, for one profile (or one group of dimensions):

| template | formula |
|---|---|
| `average_transaction_value` | average of `amount`, over the rows that have one |
| `total_transaction_value` | sum of `amount` |
| `average_daily_revenue` | sum of `amount` / days from the first `at` to as_of, both counted |
| `average_monthly_revenue` | the same by 30.4375 days (a twelfth of 365.25) |
| `average_yearly_revenue` | the same by 365.25 days |
| `transaction_count` | number of rows |
| `loyalty_points_earned` | sum of `earned` |
| `loyalty_points_redeemed` | sum of `redeemed` |
| `loyalty_points_balance` | sum of `earned` - sum of `redeemed` |
| `active_lifespan` | days from the first to the last `at`; 0 for one day |
| `membership_duration` | sum of the days from `start` to `end`, to as_of while it goes on |
| `time_since_last_purchase` | days from the last `at` to as_of |

Revenue is by calendar day, not by day with a purchase: who bought once a year ago has a low one. It counts to as_of,
not to the last purchase: else a single purchase would count as a day's. `period` and `where` restrict the rows, so with
`period: {within_last: 12 months}` the days begin with the first row of the period. Days are local. Rows later than
as_of are left out where a formula counts to as_of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from segengine.project.activities import column_of
from segengine.project.analysis import DimensionName
from segengine.project.context import Context
from segengine.project.model import Definition
from segengine.project.nodes import Fields, Items, Node, Plain, Scalar, from_plain
from segengine.project.problems import Problems, did_you_mean
from segengine.project.project_file import Activity

TEMPLATE_FIELDS = ("template", "activity", "period")
_LATER: Plain = {"within_next": "1000 years"}  # all that is after as_of
_UP_TO_NOW = ("within_last", "to_date")  # periods that have nothing later than as_of


@dataclass(frozen=True)
class Template:
    """A measure over an activity: the columns it needs, and its value as plain text.

    In `value` and `helpers` `{amount}` stands for the activity's column of that name. A helper's name begins with an @,
    so that no measure is called so. `time`: the column a period is about; `counts_to_now`: later rows are left out.
    """

    summary: str
    needs: tuple[str, ...]
    value: Mapping[str, Plain]
    helpers: Mapping[str, Plain] = field(default_factory=dict)
    time: str = "at"
    counts_to_now: bool = False


def _average_revenue(unit: str, factor: str) -> Template:
    return Template(
        f"The total value of transactions by {unit} from the first of them to now",
        ("amount", "at"),
        {"expression": f"`@total`{factor} / (as_of - `@first` + 1)"},
        {"@total": {"sum": "{amount}"}, "@first": {"min": "{at}"}},
        counts_to_now=True,
    )


TEMPLATES: Mapping[str, Template] = {
    "average_transaction_value": Template("The average value of a transaction", ("amount",), {"average": "{amount}"}),
    "total_transaction_value": Template("The total value of transactions", ("amount",), {"sum": "{amount}"}),
    "average_daily_revenue": _average_revenue("day", ""),
    "average_monthly_revenue": _average_revenue("month (30.4375 days)", " * 30.4375"),
    "average_yearly_revenue": _average_revenue("year (365.25 days)", " * 365.25"),
    "transaction_count": Template("The number of transactions", (), {"count": "rows"}),
    "loyalty_points_earned": Template("The points earned", ("earned",), {"sum": "{earned}"}),
    "loyalty_points_redeemed": Template("The points redeemed", ("redeemed",), {"sum": "{redeemed}"}),
    "loyalty_points_balance": Template(
        "The points earned less those redeemed",
        ("earned", "redeemed"),
        {"expression": "`@earned` - `@redeemed`"},
        {"@earned": {"sum": "{earned}"}, "@redeemed": {"sum": "{redeemed}"}},
    ),
    "active_lifespan": Template(
        "The days from the first to the last transaction",
        ("at",),
        {"expression": "`@last` - `@first`"},
        {"@last": {"max": "{at}"}, "@first": {"min": "{at}"}},
    ),
    "membership_duration": Template(
        "The days of all memberships, those that go on counted to now",
        ("start", "end"),
        {"expression": "`@ended` + `@going_on`"},
        {
            "@ended": {"sum": "`{end}` - `{start}`", "where": {"{end}": {"not": _LATER}}},
            "@going_on": {
                "sum": "as_of - `{start}`",
                "where": {"{end}": {"within_next": "1000 years", "or_missing": "true"}},
            },
        },
        time="start",
        counts_to_now=True,
    ),
    "time_since_last_purchase": Template(
        "The days from the last transaction to now",
        ("at",),
        {"expression": "as_of - `@last`"},
        {"@last": {"max": "{at}"}},
        counts_to_now=True,
    ),
}


DIMENSIONS: Mapping[DimensionName, Template] = {
    "recency": Template("When it was last done", ("at",), {"max": "{at}"}),
    "frequency": TEMPLATES["transaction_count"],
    "monetary": TEMPLATES["total_transaction_value"],
    "duration": TEMPLATES["membership_duration"],
}
"""What customers' activity is measured by; rows later than as_of are left out."""


@dataclass(frozen=True)
class Expanded:
    """A measure as its template writes it: its fields with `over` and `where`, its values, and which are helpers."""

    fields: Fields
    values: Mapping[str, Node]
    helpers: frozenset[str] = frozenset()


def expand_template(definition: Definition, context: Context, problems: Problems) -> Expanded | None:
    """Return the measure that `template`, `activity` and `period` stand for, or None where they have errors."""
    fields = definition.fields
    for name in ("over", "value", "values"):
        if fields.get(name) is not None:
            message = f"`{name}` stands beside `template`, which says it."
            problems.add(fields.key_place(name), "SEG232", message, "Leave one of them out.")
    template = _find_template(fields, problems)
    if fields.get("activity") is None:
        hint = did_you_mean("", context.settings.activities) or "Describe one under `activities` in the project file."
        problems.add(fields.key_place("template"), "SEG202", '`template` needs the field "activity".', hint)
    activity = find_activity(fields, context, problems)
    if template is None or activity is None:
        return None
    time = (template.time,) if fields.get("period") is not None else ()
    if _is_lacking("the template", (*template.needs, *time), activity, fields, problems):
        return None
    place = fields.key_place("template")
    plain = {**template.helpers, definition.name: dict(template.value)}
    values = {name: from_plain(_filled(value, activity), place) for name, value in plain.items()}
    kept = [entry for entry in fields.entries if entry[0].text not in (*TEMPLATE_FIELDS, "where")]
    kept.append((Scalar("over", fields.key_place("activity")), Scalar(activity.table, fields.key_place("activity"))))
    if where := _where(fields, template.time, activity, up_to_now=template.counts_to_now):
        kept.append((Scalar("where", where.place), where))
    return Expanded(Fields(tuple(kept), fields.place), values, frozenset(template.helpers))


def expand_figures(
    fields: Fields, audience: str, names: Iterable[DimensionName], activity: Activity, problems: Problems
) -> Expanded | None:
    """Return the measure of how often, and by what else, each profile did something; None where a column lacks.

    Args:
        fields: A suggestion with `activity`, and perhaps `via` and `period`.
        audience: Whose profiles.
        names: The dimensions chosen; the amount is measured beside them where the activity has one.
        activity: The activity.
        problems: Where issues are added.
    """
    chosen = {name: DIMENSIONS[name] for name in names}
    lacks = [_is_lacking(f'"{name}"', each.needs, activity, fields, problems) for name, each in chosen.items()]
    time = "at" if activity.at or not activity.start else "start"
    if fields.get("period") is not None:
        lacks.append(_is_lacking("`period`", (time,), activity, fields, problems))
    if any(lacks):
        return None
    chosen["frequency"] = DIMENSIONS["frequency"]
    if activity.amount:
        chosen["monetary"] = DIMENSIONS["monetary"]
    place = fields.key_place("activity")
    entries: list[tuple[Scalar, Node]] = [
        (Scalar("per", place), Scalar(audience, place)),
        (Scalar("over", place), Scalar(activity.table, place)),
    ]
    if (via := fields.get("via")) is not None:
        entries.append((Scalar("via", fields.key_place("via")), via))
    if column_of(activity, time) and (where := _where(fields, time, activity, up_to_now=True)):
        entries.append((Scalar("where", where.place), where))
    helpers = {name: value for each in chosen.values() for name, value in each.helpers.items()}
    plain: dict[str, Plain] = {**helpers, **{name: dict(each.value) for name, each in chosen.items()}}
    values = {name: from_plain(_filled(value, activity), place) for name, value in plain.items()}
    return Expanded(Fields(tuple(entries), fields.place), values, frozenset(helpers))


def _is_lacking(what: str, roles: Iterable[str], activity: Activity, fields: Fields, problems: Problems) -> bool:
    """Return whether an activity lacks a column that something needs; it is reported."""
    lacking = [role for role in dict.fromkeys(roles) if not column_of(activity, role)]
    if lacking:
        named = " and ".join(f'"{role}"' for role in lacking)
        message = f'{what} needs {named}, which activity "{activity.name}" does not name.'
        hint = f'Add to the project file: `{lacking[0]}: COLUMN` of "{activity.table}".'
        problems.add(fields.key_place("activity"), "SEG232", message, hint)
    return bool(lacking)


def _find_template(fields: Fields, problems: Problems) -> Template | None:
    node = fields.get("template")
    name = problems.text(node, "template")
    if name is not None and name not in TEMPLATES:
        hint = did_you_mean(name, TEMPLATES)
        problems.add(fields.key_place("template"), "SEG232", f'there is no template "{name}".', hint)
    return TEMPLATES.get(name or "")


def find_activity(fields: Fields, context: Context, problems: Problems) -> Activity | None:
    """Return the activity that a definition names, or None where there is none (reported if it names one)."""
    activities = context.settings.activities
    name = problems.text(fields.get("activity"), "activity")
    if name is not None and name not in activities:
        hint = did_you_mean(name, activities) or "Describe it under `activities` in the project file."
        problems.add(fields.key_place("activity"), "SEG232", f'there is no activity "{name}".', hint)
    return activities.get(name or "")


def _where(fields: Fields, time: str, activity: Activity, *, up_to_now: bool) -> Node | None:
    """Return the conditions of the measure: its own, the period, and (`up_to_now`) that nothing later counts."""
    own, period = fields.get("where"), fields.get("period")
    column = Scalar(column_of(activity, time), fields.key_place("period"))
    items = [own] if own is not None else []
    if period is not None:
        items.append(Fields(((column, period),), column.place))
    says_so = isinstance(period, Fields) and any(name in _UP_TO_NOW for name in period.keys())
    if up_to_now and not says_so:
        items.append(from_plain({column.text or "": {"not": _LATER}}, fields.key_place("activity")))
    if len(items) < 2:
        return items[0] if items else None
    place = fields.key_place("where")
    return Fields(((Scalar("all", place), Items(tuple(items), place)),), place)


def _filled(value: Plain, activity: Activity) -> Plain:
    """Return plain values with the activity's columns in their places."""
    if isinstance(value, dict):
        return {str(_filled(key, activity)): _filled(item, activity) for key, item in value.items()}
    if isinstance(value, str):
        for role in ("at", "amount", "start", "end", "earned", "redeemed"):
            value = value.replace(f"{{{role}}}", column_of(activity, role))
    return value
