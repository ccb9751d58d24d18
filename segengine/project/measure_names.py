"""Finding measures by what definitions call them: by their name, or as `@id`, whatever the name is now.

A measure is an attribute of the profiles it is of. From the rows of a path it is seen at the path's end, by its name
alone or behind the path's steps, like other attributes of the profile.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import replace

from segengine.project.attributes import Attribute, Hop, Path
from segengine.project.dependencies import MAX_NESTED, mentioned_names, read_first
from segengine.project.measure import Measure, MeasureValue
from segengine.project.model import Definition
from segengine.project.paths import Unresolved, find_attribute, find_hop
from segengine.project.problems import did_you_mean
from segengine.project.project_file import Schema, Settings

BY_ID = "@"
Base = str | Path | Measure
"""What names are seen from: the profiles' table, the rows of a path, or the groups of a measure with dimensions."""

ReadMeasure = Callable[[Definition], Measure | None]


class MeasureNames:
    """The measures of a project by name, each read when it is first asked for: its type is needed to judge it."""

    def __init__(self, definitions: Iterable[Definition] = ()) -> None:
        measures = [definition for definition in definitions if definition.kind == "measure"]
        self._definitions = {definition.name: definition for definition in reversed(measures)}
        self._definitions |= {BY_ID + definition.id: definition for definition in measures}
        self._resolved: dict[str, Measure | None] = {}
        self._mentions: dict[str, list[str]] = {}
        self._open: list[Definition] = []
        self._read: ReadMeasure | None = None

    def read_with(self, read: ReadMeasure) -> None:
        """Say how a definition becomes a measure."""
        self._read = read

    def __contains__(self, name: object) -> bool:
        return name in self._definitions

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._definitions if not name.startswith(BY_ID))

    def resolve(self, definition: Definition) -> Measure | None:
        """Return the measure of a definition, or None where it has errors (which are reported once)."""
        if definition.id not in self._resolved and self._read is not None:
            # What others wait for is read at once: who waits for whom is how circles are found.
            first = [] if self._open else read_first(definition.id, self._mentioned, self._resolved)
            for identity in first or [definition.id]:
                if identity not in self._resolved:
                    own = self._definitions[BY_ID + identity]
                    self._open.append(own)
                    measure = self._read(own)
                    self._open.pop()
                    self._resolved[identity] = measure
        return self._resolved.get(definition.id)

    def _mentioned(self, identity: str) -> list[str]:
        """Return the ids of the measures that a definition may refer to."""
        if identity not in self._mentions:
            names = mentioned_names(self._definitions[BY_ID + identity].fields)
            found = {self._definitions[name].id for name in names if name in self._definitions}
            self._mentions[identity] = sorted(found)
        return self._mentions[identity]

    def find(self, name: str) -> Measure | Unresolved:
        """Return the measure a name means; the issue is empty where it has errors of its own."""
        definition = self._definitions.get(name)
        if definition is None:
            return Unresolved("SEG229", f'there is no measure "{name}".', did_you_mean(name, self))
        if definition in self._open:
            ring = [*self._open[self._open.index(definition) :], definition]
            chain = " -> ".join(f'"{member.name}"' for member in ring)
            return Unresolved("SEG404", f"measures refer to each other in a circle: {chain}.")
        if len(self._open) > MAX_NESTED:
            return Unresolved("SEG404", f"more than {MAX_NESTED} measures refer to each other in a circle.")
        return self.resolve(definition) or Unresolved("SEG229", "")


def find_named(
    settings: Settings, schema: Schema, base: Base, name: str, measures: MeasureNames | None = None
) -> Attribute | Unresolved:
    """Return what a name means to conditions: an attribute, or a measure of the profile."""
    if isinstance(base, Measure):
        return _find_in_groups(settings, schema, base, name, measures)
    found = find_attribute(settings, schema, base, name)
    if measures is None:
        return found
    measured = find_measured(settings, base, name, measures)
    if measured is None:
        return found if isinstance(found, Attribute) else _with_measure_hint(found, name, measures)
    if isinstance(found, Unresolved):
        return measured
    message = f'"{name}" means two things: a column of table "{_table_of(found)}", and a measure.'
    return Unresolved("SEG105", message, "Rename the measure, or the column with `from:`.")


def find_row_attribute(
    settings: Settings, schema: Schema, base: Base, name: str, measures: MeasureNames | None = None
) -> Attribute | Unresolved:
    """Return what a name means of each row: a column of the rows or a look-up, never a measure of the profile."""
    if isinstance(base, Measure):
        found = _find_in_groups(settings, schema, base, name, measures)
        if isinstance(found, Unresolved) or is_group_attribute(found):
            return found
        if not found.measure:
            message = f'"{name}" is an attribute of the profile, not of each row.'
            return Unresolved("SEG204", message, "Use it in `where`.")
    else:
        found = find_attribute(settings, schema, base, name)
        if isinstance(found, Attribute) or measures is None:
            return found
        if measure_part(name.split("."), measures) is None:
            return _with_measure_hint(found, name, measures)
    message = f'"{name}" is a measure: a profile has one value of it, not each of its rows.'
    return Unresolved("SEG229", message, "Use it in `where`, or in the `expression` of a measure `per` profile.")


def group_attributes(measure: Measure) -> dict[str, Attribute]:
    """Return the columns of the groups of a measure with dimensions: its dimensions, then its values."""
    columns = [(dimension.name, dimension.type) for dimension in measure.dimensions]
    columns += [(value.name, value.type) for value in measure.shown_values]
    return {name: Attribute(measure.id, (), name, type_, measure=measure.id) for name, type_ in columns}


def list_value_attributes(measure: Measure, table: str) -> list[Attribute]:
    """Return the values of a measure of the profiles of a table, as attributes of these."""
    columns = [(measure.column(value), value.type) for value in measure.shown_values]
    return [Attribute(table, (), name, type_, measure=measure.id) for name, type_ in columns]


def is_group_attribute(attribute: Attribute) -> bool:
    """Return whether an attribute is a column of a measure's groups, not one of the profile."""
    return bool(attribute.measure) and attribute.base == attribute.measure


def _find_in_groups(
    settings: Settings, schema: Schema, measure: Measure, name: str, measures: MeasureNames | None
) -> Attribute | Unresolved:
    """Return a column of a measure's groups; behind the audience's name an attribute of the profile they are of."""
    columns = group_attributes(measure)
    if name == BY_ID + measure.id and len(measure.shown_values) == 1:
        name = measure.shown_values[0].name  # it may be called after the measure, and the measure something else now
    if name in columns:
        return columns[name]
    profiles = settings.audiences[measure.audience].table
    step, _, rest = name.partition(".")
    if rest and step == measure.audience:
        return find_named(settings, schema, profiles, rest, measures)
    measured = find_measured(settings, profiles, name, measures) if measures is not None else None
    if measured is not None:
        return measured
    message = f'"{name}" is no dimension or value of measure "{measure.name}".'
    if isinstance(find_attribute(settings, schema, profiles, name), Attribute):
        return Unresolved("SEG204", message, f"Of the profile it is `{measure.audience}.{name}`.")
    return Unresolved("SEG204", message, did_you_mean(name, columns))


def find_measured(
    settings: Settings, base: str | Path, name: str, measures: MeasureNames
) -> Attribute | Unresolved | None:
    """Return the value of a measure as an attribute; None where no part of the name is that of a measure.

    `Name`, of several values `Name.value`; of the account behind the relationship to it.
    """
    parts = name.split(".")
    at = measure_part(parts, measures)
    if at is None:
        return None
    path = Path(base, ()) if isinstance(base, str) else base
    hops = path.hops if at == 0 else _follow(settings, path, parts[:at])
    if hops is None:
        return None
    table = hops[-1].target if hops else path.over
    measure = measures.find(parts[at])
    if isinstance(measure, Unresolved):
        return measure
    if not measure.is_attribute:
        return _no_attribute(measure)
    if not _is_of_profile(settings, path, hops) or settings.audiences[measure.audience].table != table:
        return _elsewhere(settings, path, table, measure, name)
    value = _choose_value(measure, parts[at + 1 :])
    if isinstance(value, Unresolved):
        return value
    return Attribute(path.over, hops, measure.column(value), value.type, measure=measure.id)


def measure_part(parts: Sequence[str], measures: Container[str]) -> int | None:
    """Return which part of a dotted name is a measure's, the last or (a value behind it) the one before; or None."""
    places = (len(parts) - 2, len(parts) - 1)
    return next((place for place in places if place >= 0 and parts[place] in measures), None)


def _follow(settings: Settings, path: Path, steps: list[str]) -> tuple[Hop, ...] | None:
    """Return the hops that steps lead along, those of the path first; None where one leads nowhere."""
    hops: tuple[Hop, ...] = ()
    for step in steps:
        table = hops[-1].target if hops else path.over
        own = path.hops[len(hops)] if len(hops) < len(path.hops) and path.hops[: len(hops)] == hops else None
        hop = own if own is not None and own.name == step else find_hop(settings, table, step)
        if hop is None:
            return None
        hops = (*hops, hop)
    return hops


def _is_of_profile(settings: Settings, path: Path, hops: tuple[Hop, ...]) -> bool:
    """Return whether hops lead to the profile a path's rows are of, or on to its account."""
    length = len(path.hops)
    if hops[:length] != path.hops:
        return False
    table = path.hops[-1].target if path.hops else path.over
    links = [Hop(a.account.relationship) for a in settings.audiences.values() if a.account and a.table == table]
    return len(hops) == length or (len(hops) == length + 1 and hops[-1] in links)


def _no_attribute(measure: Measure) -> Unresolved:
    if not measure.per_profile:
        message = f'"{measure.name}" is a business measure: a profile has no value of it.'
        return Unresolved("SEG229", message, "Conditions take measures of one value per profile.")
    names = ", ".join(dimension.name for dimension in measure.dimensions)
    message = f'"{measure.name}" has a value for each {names}: a profile has more than one.'
    hint = f"Make a measure of one value out of it: `over: {measure.name}`."
    return Unresolved("SEG229", message, hint)


def _elsewhere(settings: Settings, path: Path, table: str, measure: Measure, name: str) -> Unresolved:
    """Return why a profile's measure is not to be had where its name leads: at a table, as seen from a path's rows."""
    profiles = settings.audiences[measure.audience].table
    judged = next((a for a in settings.audiences.values() if a.table == path.target), None)
    if judged is None:
        message = f'"{name}" is a measure of audience "{measure.audience}"; a row of "{path.over}" is of no profile.'
        return Unresolved("SEG229", message, "A business measure can name the `audience` its rows belong to.")
    if profiles == table:
        message = f'"{name}" is a value of another profile: conditions see the measures of the one they judge.'
        return Unresolved("SEG229", message, f"Its own is `{measure.name}`." if profiles == path.target else "")
    message = f'"{name}" is a measure of audience "{measure.audience}", not of "{judged.name}".'
    if profiles == path.target:
        message = f'"{name}" leads to table "{table}"; "{measure.name}" is a measure of audience "{measure.audience}".'
        return Unresolved("SEG229", message, f"Write `{measure.name}`.")
    hint = ""
    if judged.account and judged.account.audience == measure.audience:
        hint = f"Of its account it is `{judged.account.relationship.name}.{measure.name}`."
    return Unresolved("SEG229", message, hint)


def _choose_value(measure: Measure, rest: list[str]) -> MeasureValue | Unresolved:
    """Return the value that stands behind a measure's name."""
    values = {value.name: value for value in measure.shown_values}
    if len(values) == 1:
        if not rest:
            return measure.shown_values[0]
        return Unresolved("SEG229", f'measure "{measure.name}" has one value only.', f"Write `{measure.name}`.")
    if rest and rest[0] in values:
        return values[rest[0]]
    if rest:
        message = f'measure "{measure.name}" has no value "{rest[0]}".'
        return Unresolved("SEG229", message, did_you_mean(rest[0], values))
    columns = ", ".join(measure.column(value) for value in measure.shown_values)
    return Unresolved("SEG229", f'measure "{measure.name}" has several values.', f"Name one: {columns}.")


def _table_of(attribute: Attribute) -> str:
    return attribute.hops[-1].target if attribute.hops else attribute.base


def _with_measure_hint(found: Unresolved, name: str, measures: MeasureNames) -> Unresolved:
    """Return what was not found with the measure that is nearly called so."""
    near = did_you_mean(name, measures)
    if found.code != "SEG204" or found.hint.startswith("Did you mean") or not near.startswith("Did you mean"):
        return found
    return replace(found, hint=near)
