"""From a definition of `kind: measure` to a measure with resolved names and typed values."""

from __future__ import annotations

from dataclasses import replace

from segengine.project.attributes import Path
from segengine.project.context import Context
from segengine.project.definitions import COMMON_FIELDS, read_exemption, read_state, read_tags
from segengine.project.dimensions import BUSINESS, Grain, read_dimensions, read_per
from segengine.project.expressions import AS_OF
from segengine.project.measure import Dimension, Measure, MeasureValue
from segengine.project.measure_rows import Rows, read_rows
from segengine.project.measure_values import ValueReader, is_value_name, read_filter
from segengine.project.model import Definition, Expression, InSegment
from segengine.project.nodes import Fields, Node
from segengine.project.operating import OWN_PERIODS, read_schedule
from segengine.project.paths import Unresolved, find_path, hop_names
from segengine.project.problems import Problems, did_you_mean
from segengine.project.settings import RESERVED
from segengine.project.templates import TEMPLATE_FIELDS, Expanded, expand_template
from segengine.project.walk import expression_leaves

MEASURE_FIELDS = (
    *COMMON_FIELDS,
    "per",
    "over",
    "via",
    "where",
    "value",
    "values",
    "refresh",
    *TEMPLATE_FIELDS,
)
GATES_HINT = (
    "Results of segments alone are held back: put it into the segments that ask for the measure; what they say of "
    "sources is asked of the measure's tables too."
)


def resolve_measure(definition: Definition, context: Context, problems: Problems) -> Measure | None:
    """Return the measure a definition describes, or None where an error keeps it from being told."""
    asking, problems.subject = problems.subject, f'measure "{definition.name}"'
    try:
        reader = _MeasureReader(definition, context, problems)
        reader.check_fields()
        written = reader.written()
        return None if written is None else reader.read(written)
    finally:
        problems.subject = asking


def resolve_written(definition: Definition, written: Expanded, context: Context, problems: Problems) -> Measure | None:
    """Return a measure written by somebody else than a user, or None where it has errors.

    Args:
        definition: Its id and its name, which conditions cannot call.
        written: Its fields and values.
        context: What names may mean.
        problems: Where issues are added.
    """
    return _MeasureReader(definition, context, problems).read(written)


class _MeasureReader:
    """Reads one measure."""

    def __init__(self, definition: Definition, context: Context, problems: Problems) -> None:
        self._definition = definition
        self._fields = definition.fields
        self._context = context
        self._settings = context.settings
        self._problems = problems
        self._errors_before = problems.error_count

    def check_fields(self) -> None:
        self._problems.fields(self._fields, "a measure", MEASURE_FIELDS, hints={"publish_if": GATES_HINT})
        self._check_name()

    def read(self, written: Expanded) -> Measure | None:
        before, problems = self._errors_before, self._problems
        self._fields = fields = written.fields
        tags = read_tags(fields, problems)
        state, exempt = read_state(fields, problems), read_exemption(fields, problems)
        grain = self._grain()
        if grain is None:
            return None
        audience = self._audience(grain)
        rows = self._rows(grain, audience)
        if audience is None or (rows is None and fields.get("over") is not None):
            return None
        if isinstance(rows, Rows) and isinstance(rows.base, Measure):
            audience = rows.base.audience
        dimensions = self._dimensions(grain, rows)
        where = self._where(rows, audience)
        is_attribute = bool(grain.audience) and not grain.dimensions
        profile_table = self._settings.audiences[audience].table if is_attribute else ""
        values = ValueReader(written.values, rows, audience, profile_table, self._context).read_all(problems)
        if dimensions is None or values is None or not values or problems.error_count > before:
            return None
        self._check_columns(dimensions, values)
        refresh, zone = self._definition.fields.get("refresh"), self._settings.time_zone
        schedule = read_schedule(refresh, "refresh", OWN_PERIODS, zone, problems)
        path = self._path(rows, [where, *(value.where for value in values)])
        if problems.error_count > before:
            return None
        return Measure(
            id=self._definition.id,
            name=self._definition.name,
            description=problems.text(fields.get("description"), "description") or "",
            tags=tags,
            audience=audience or next(iter(self._settings.audiences), ""),
            per_profile=bool(grain.audience),
            dimensions=dimensions,
            path=path,
            over=rows.base.id if rows and isinstance(rows.base, Measure) else "",
            where=where,
            values=tuple(replace(value, is_helper=value.name in written.helpers) for value in values),
            state=state,
            exempt_from_deactivation=exempt,
            schedule=schedule,
            place=fields.place,
        )

    def written(self) -> Expanded | None:
        """Return the measure with its values, a template written out."""
        if self._fields.get("template") is not None:
            return expand_template(self._definition, self._context, self._problems)
        for name in TEMPLATE_FIELDS:
            if self._fields.get(name) is not None:
                message = f"`{name}` needs `template` beside it."
                self._problems.add(self._fields.key_place(name), "SEG203", message)
        return Expanded(self._fields, self._value_nodes())

    def _check_name(self) -> None:
        name, place = self._definition.name, self._fields.key_place("name")
        if not is_value_name(name):
            message = f'a measure cannot be named "{name}": with a point, a back-quote or an @ in front.'
            self._problems.add(place, "SEG105", message, "Conditions and expressions call it by its name.")
        elif name in RESERVED or name == AS_OF:
            self._problems.add(place, "SEG105", f'a measure cannot be named "{name}": it is a keyword.')
        for audience in self._settings.audiences.values():
            columns = self._context.schema.columns.get(audience.table, {})
            links = hop_names(self._settings, audience.table)
            if name in columns or name in links:
                what = "a column" if name in columns else "a relationship"
                message = f'"{name}" is {what} of table "{audience.table}" already.'
                self._problems.add(place, "SEG105", message, "Give the measure another name.")
                return

    def _grain(self) -> Grain | None:
        per = self._fields.get("per")
        if per is None:
            hint = f"Known: {', '.join(self._settings.audiences)}, {BUSINESS}, or a list with dimensions."
            self._problems.add(self._fields.place, "SEG202", 'the field "per" is missing: whose values?', hint)
        return read_per(per, self._settings, self._problems)

    def _audience(self, grain: Grain) -> str | None:
        """Return whose profiles the measure is about: of the business, whose its conditions may be about, or ''."""
        audiences = self._settings.audiences
        named = self._problems.text(self._fields.get("audience"), "audience")
        place = self._fields.key_place("audience")
        if named is not None and named not in audiences:
            self._problems.add(place, "SEG405", f'there is no audience "{named}".', did_you_mean(named, audiences))
            return None
        if grain.audience and named not in (None, grain.audience):
            message = f'`per` says audience "{grain.audience}", `audience` "{named}".'
            self._problems.add(place, "SEG405", message, "Leave `audience` out.")
        return grain.audience or named or (next(iter(audiences)) if len(audiences) == 1 else "")

    def _rows(self, grain: Grain, audience: str | None) -> Rows | None:
        if self._fields.get("over") is None:
            for name in ("via", "where"):
                if self._fields.get(name) is not None:
                    place = self._fields.key_place(name)
                    self._problems.add(place, "SEG203", f"`{name}` needs `over` beside it.")
            if not grain.audience or grain.dimensions:
                message = "names no rows: only a measure of one value per profile goes without `over`."
                self._problems.add(self._fields.place, "SEG202", message, "Name a table with `over`.")
            return None
        if audience is None:
            return None
        return read_rows(self._fields, audience, bool(grain.audience), self._context, self._problems)

    def _dimensions(self, grain: Grain, rows: Rows | None) -> tuple[Dimension, ...] | None:
        if rows is None:
            return () if not grain.dimensions else None
        return read_dimensions(
            grain.dimensions, lambda name: rows.find(self._context, name), self._settings, self._problems
        )

    def _where(self, rows: Rows | None, audience: str) -> Expression | None:
        node = self._fields.get("where")
        if node is None or rows is None:
            return None
        return read_filter(node, rows, audience, self._context, self._problems)

    def _value_nodes(self) -> dict[str, Node]:
        """Return the values as written by name; errors in their form are reported."""
        single, several = self._fields.get("value"), self._fields.get("values")
        if (single is None) == (several is None):
            message = "has neither `value` nor `values`." if single is None else "has both `value` and `values`."
            hint = "Write `value: {sum: ...}`, or `values: {NAME: {sum: ...}}`."
            self._problems.add(self._fields.place, "SEG229", message, hint)
            return {}
        if single is not None:
            return {self._definition.name: single}
        fields = self._problems.fields(several, "`values`", several.keys() if isinstance(several, Fields) else ())
        if fields is None:
            return {}
        if not fields.entries:
            self._problems.add(self._fields.key_place("values"), "SEG301", "`values` is empty.")
        seen: dict[str, str] = {}
        for key, _ in fields.entries:
            name = key.text or ""
            if not is_value_name(name) or name == AS_OF:
                hint = f"It has a point, a back-quote or an @ in front, or is `{AS_OF}`."
                self._problems.add(key.place, "SEG105", f'a value cannot be named "{name}".', hint)
            if seen.setdefault(name.lower(), name) != name:
                message = f'the values "{seen[name.lower()]}" and "{name}" differ by capital letters only.'
                self._problems.add(key.place, "SEG229", message, "Rename one of them.")
        return {key.text or "": node for key, node in fields.entries}

    def _check_columns(self, dimensions: tuple[Dimension, ...], values: tuple[MeasureValue, ...]) -> None:
        taken = {dimension.name.lower() for dimension in dimensions}
        for value in values:
            if value.name.lower() in taken:
                message = f'"{value.name}" is the name of a dimension and of a value.'
                self._problems.add(value.place, "SEG231", message, "Rename the value, or name the dimension with `as`.")

    def _path(self, rows: Rows | None, filters: list[Expression | None]) -> Path | None:
        """Return the path of the rows; of a business measure with hops only where its filters ask about the profile."""
        path = rows.path if rows else None
        if rows is None or path is None or path.hops:
            return path
        leaves = [leaf for part in filters if part is not None for leaf in expression_leaves(part)]
        asking = [leaf for leaf in leaves if isinstance(leaf, InSegment) or leaf.attribute.measure]
        if not asking or rows.judged == path:
            return path
        if isinstance(rows.judged, Path):
            return rows.judged
        what = "in_segment" if isinstance(asking[0], InSegment) else f'"{asking[0].text}"'
        self._problems.add(asking[0].place, "SEG224", f"{what}: {self._no_profile(path)}", "")
        return None

    def _no_profile(self, path: Path) -> str:
        """Return why the rows of a business measure belong to nobody."""
        audience = self._problems.text(self._fields.get("audience"), "audience") or ""
        if not audience and len(self._settings.audiences) > 1:
            return "whose? Name the `audience`; the project has several."
        audience = audience or next(iter(self._settings.audiences))
        found = find_path(self._settings, path.over, self._settings.audiences[audience].table)
        return found.message if isinstance(found, Unresolved) else ""
