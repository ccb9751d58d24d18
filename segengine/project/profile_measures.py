"""Finding a measure's value as an attribute of the profiles, among the measures of a catalogue."""

from __future__ import annotations

from segengine.errors import ConfigError
from segengine.project.attributes import Attribute
from segengine.project.catalogue import Catalogue
from segengine.project.measure import Measure
from segengine.project.measure_names import find_measured, list_value_attributes, measure_part
from segengine.project.paths import Unresolved
from segengine.project.problems import did_you_mean


def list_profile_measures(catalogue: Catalogue, audience: str = "") -> dict[str, Attribute]:
    """Return the values of measures that are attributes of profiles, by name: `Name`, of several `Name.value`.

    Args:
        catalogue: The measures.
        audience: Whose profiles; '': all.
    """
    found: dict[str, Attribute] = {}
    for measure in sorted(catalogue.measures.values(), key=lambda measure: measure.name.casefold()):
        if measure.is_attribute and audience in ("", measure.audience):
            table = catalogue.settings.audiences[measure.audience].table
            found |= {attribute.column: attribute for attribute in list_value_attributes(measure, table)}
    return found


def names_measure(catalogue: Catalogue, name: str) -> bool:
    """Return whether a name is that of a measure, or of something behind one."""
    return measure_part(name.split("."), catalogue.measure_names) is not None


def suggest_measure(catalogue: Catalogue, name: str, reason: ConfigError) -> ConfigError:
    """Return why a name is no attribute, with the measure that is nearly called so where no attribute is."""
    near = did_you_mean(name, list_profile_measures(catalogue))
    if near.startswith("Did you mean") and not reason.hint.startswith("Did you mean"):
        return ConfigError(reason.message, near)
    return reason


def find_profile_measure(catalogue: Catalogue, name: str, audience: str = "") -> tuple[str, Attribute]:
    """Return the audience and the attribute that the name of a measure's value means: `Name`, `Name.value`.

    Args:
        catalogue: The measures.
        name: The value as a rule on the profile has it; for contacts also `account.Name`.
        audience: Whose profiles; '': those of any audience.

    Raises:
        ConfigError: There is none, or it is no value of a profile.
    """
    settings, known = catalogue.settings, catalogue.measure_names
    if audience and audience not in settings.audiences:
        raise ConfigError(f'There is no audience "{audience}".', did_you_mean(audience, settings.audiences))
    parts = name.split(".")
    place = measure_part(parts, known)
    measure = None if place is None else known.find(parts[place])
    if not isinstance(measure, Measure):
        raise ConfigError(f'There is no measure "{name}".', did_you_mean(name, list_profile_measures(catalogue)))
    names = [audience] if audience else sorted(settings.audiences, key=lambda one: one != measure.audience)
    found = {one: find_measured(settings, settings.audiences[one].table, name, known) for one in names}
    for one, attribute in found.items():
        if isinstance(attribute, Attribute):
            return one, attribute
    raise _no_value(name, measure, next((each for each in found.values() if isinstance(each, Unresolved)), None))


def _no_value(name: str, measure: Measure, reason: Unresolved | None) -> ConfigError:
    """Return why a measure's name is no value of a profile."""
    if reason is None:
        return ConfigError(f'"{name}" leads to no measure.', f"Write `{measure.name}`.")
    hint = reason.hint if measure.is_attribute else f"`segengine measures values {measure.id}` prints its values."
    return ConfigError(reason.message[0].upper() + reason.message[1:], hint)
