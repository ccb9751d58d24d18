"""Which rows a measure looks at: `over`, `via` and the audience whose profiles they are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from segengine.project.attributes import Attribute, Path
from segengine.project.context import Context
from segengine.project.measure import Measure
from segengine.project.measure_names import Base, find_row_attribute, group_attributes
from segengine.project.nodes import Fields
from segengine.project.paths import Unresolved, ViaStep, find_path, row_key
from segengine.project.problems import Problems, did_you_mean
from segengine.project.via import read_path


@dataclass(frozen=True)
class Rows:
    """The rows of a measure: what its names are seen from, and what tells them apart.

    `base`: a path (of a business measure without hops: every row of its table counts), or the measure whose groups the
    rows are. `judged`: the way to the profile that conditions on it go, None where there is none.
    """

    base: Path | Measure
    judged: Base | None
    per_profile: bool

    @property
    def path(self) -> Path | None:
        """The path, or None over the groups of a measure."""
        return self.base if isinstance(self.base, Path) else None

    def find(self, context: Context, name: str) -> Attribute | Unresolved:
        """Return what a name means of each row."""
        base = self.judged or self.base
        return find_row_attribute(context.settings, context.schema, base, name, context.measures)

    def key(self, context: Context) -> tuple[Attribute, ...]:
        """Return what tells the rows apart; of groups their dimensions."""
        if isinstance(self.base, Measure):
            columns = group_attributes(self.base)
            return tuple(columns[dimension.name] for dimension in self.base.dimensions)
        # The profile's own key, at the end of a path from one to many, is the same for all of its rows.
        names = row_key(context.settings, Path(self.base.over, self.base.hops[:-1]))
        found = [self.find(context, name) for name in names]
        return tuple(attribute for attribute in found if isinstance(attribute, Attribute))


def read_rows(fields: Fields, audience: str, per_profile: bool, context: Context, problems: Problems) -> Rows | None:
    """Return the rows that `over` and `via` name, or None where they have errors (which are reported).

    Args:
        fields: The measure as written, with `over`.
        audience: The audience of its profiles; of a business measure the one its conditions may be about, or ''.
        per_profile: Whether it has values for each profile.
        context: What names may mean.
        problems: Where issues are added.
    """
    over = problems.text(fields.get("over"), "over")
    if over is None:
        return None
    if over in context.settings.tables and over in context.measures:
        message = f'"{over}" means two things: a table and a measure.'
        problems.add(fields.key_place("over"), "SEG105", message, "Rename the measure.")
        return None
    if over in context.measures:
        return _groups(fields, over, audience, per_profile, context, problems)
    if over not in context.settings.tables:
        hint = did_you_mean(over, [*context.settings.tables, *context.measures])
        problems.add(fields.key_place("over"), "SEG103", f'there is no table or measure "{over}".', hint)
        return None
    if per_profile:
        path = read_path(fields, partial(_profile_path, context, audience), problems)
        return None if path is None else Rows(path, path, True)
    if fields.get("via") is not None:
        message = "`via` does not fit a business measure: all rows of its table count."
        problems.add(fields.key_place("via"), "SEG229", message, "Leave it out.")
    own = Path(over, ())
    if not audience:
        return Rows(own, None, False)
    profiles = context.settings.audiences[audience].table
    if over == profiles:
        return Rows(own, own, False)
    found = find_path(context.settings, over, profiles)
    return Rows(own, found if isinstance(found, Path) else None, False)


def _profile_path(context: Context, audience: str, over: str, via: Sequence[ViaStep]) -> Path | Unresolved:
    """Return the path to the profiles; rows of their accounts are a matter of the account's own measures."""
    settings = context.settings
    path = find_path(settings, over, settings.audiences[audience].table, via)
    accounts = settings.account_of(audience)
    if isinstance(path, Path) or accounts is None:
        return path
    carried = find_path(settings, over, accounts.table, via)
    if not isinstance(carried, Path):
        return path
    link = settings.audiences[audience].account
    name = link.relationship.name if link else ""
    message = f'the rows of "{over}" are those of the {accounts.name}, not of the {audience}.'
    of_account = f"`per: {accounts.name}`, a suggestion `audience: {accounts.name}`"
    hint = f"Make it {of_account}; conditions of the {audience} call it `{name}.NAME`."
    return Unresolved("SEG221", message, hint, path.place)


def _groups(
    fields: Fields, over: str, audience: str, per_profile: bool, context: Context, problems: Problems
) -> Rows | None:
    """Return the groups of another measure as rows."""
    place = fields.key_place("over")
    if fields.get("via") is not None:
        message = "`via` does not fit `over` a measure: its groups belong to its profiles."
        problems.add(fields.key_place("via"), "SEG229", message, "Leave it out.")
    other = context.measures.find(over)
    if isinstance(other, Unresolved):
        if other.message:
            problems.add(place, other.code, other.message, other.hint)
    elif not other.per_profile:
        message = f'`over`: "{other.name}" is a business measure; its values belong to no profile.'
        problems.add(place, "SEG229", message, "Name a table, or a measure `per: [an audience, dimensions]`.")
    elif not other.dimensions:
        message = f'`over`: "{other.name}" has no dimensions: a profile has one value of it, not several rows.'
        problems.add(place, "SEG229", message, "Use it by its name in an `expression`, without `over`.")
    elif per_profile and other.audience != audience:
        message = f'`over`: "{other.name}" is a measure of audience "{other.audience}", this one of "{audience}".'
        problems.add(place, "SEG405", message)
    else:
        return Rows(other, other, per_profile)
    return None
