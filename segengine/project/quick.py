"""Quick segments: one attribute, one operator and its values, written as the definition a file would have."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from segengine.errors import ConfigError, Place
from segengine.project.attributes import Attribute
from segengine.project.catalogue import Catalogue
from segengine.project.nodes import Plain
from segengine.project.operators import BY_NAME
from segengine.project.problems import did_you_mean
from segengine.project.profile_attributes import find_profile_attribute, list_profile_attributes
from segengine.project.profile_measures import find_profile_measure, list_profile_measures, names_measure
from segengine.project.project_file import Schema, Settings

Source = Literal["profiles", "predictions", "measures"]
PLACE = Place("quick create")
ORIGIN = "command"


@dataclass(frozen=True)
class QuickSegment:
    """What a user says of a quick segment; values as text, none where the operator needs none."""

    source: Source
    attribute: str
    operator: str
    values: tuple[str, ...]
    name: str
    audience: str = ""
    output_table: str = ""
    id: str = ""


@dataclass(frozen=True)
class Known:
    """What the attributes of quick segments are looked up in; `applied`: what is applied, which measures need."""

    settings: Settings
    schema: Schema
    applied: Catalogue | None = None

    @property
    def measures(self) -> Catalogue:
        """The applied definitions, with measures of profiles among them.

        Raises:
            ConfigError: There is no measure.
        """
        if self.applied is None or not list_profile_measures(self.applied):
            raise ConfigError(
                "No measure of profiles is applied yet, so there is none to make a segment of.",
                "Write one in a definition file and run `segengine apply`, or use --from profiles.",
            )
        return self.applied


def write_fields(quick: QuickSegment, known: Known) -> dict[str, Plain]:
    """Return the fields of the definition; whether attribute, operator and values fit is for the checks to say.

    Raises:
        ConfigError: The source has no such thing, the audience is not clear, or the number of values is wrong.
    """
    audience, attribute = find_source(quick.source, quick.attribute, known, quick.audience)
    fields: dict[str, Plain] = {"kind": "segment", "name": quick.name}
    if quick.id:
        fields["id"] = quick.id
    if len(known.settings.audiences) > 1:
        fields["audience"] = audience
    if quick.output_table:
        fields["output_table"] = quick.output_table
    return {**fields, "where": {attribute: {quick.operator: write_value(quick.operator, quick.values)}}}


def find_source(source: Source, name: str, known: Known, audience: str = "") -> tuple[str, str]:
    """Return the audience of a quick segment, and the attribute as a rule writes it.

    Where there is one audience, an unknown attribute is left to the checks of definitions.

    Raises:
        ConfigError: The source has no such thing, or the audience is not clear.
    """
    settings, schema = known.settings, known.schema
    if audience and audience not in settings.audiences:
        raise ConfigError(f'There is no audience "{audience}".', did_you_mean(audience, settings.audiences))
    if source == "measures":
        return _find_measure(name, audience, known)[0], name
    audiences = [audience] if audience else list(settings.audiences)
    if source == "predictions":
        return _find_prediction(name, audiences, settings, schema)
    if len(audiences) == 1:
        return audiences[0], name
    found, _ = find_profile_attribute(settings, schema, name)
    return found, name


def find_attribute_of(source: Source, name: str, known: Known, audience: str = "") -> Attribute:
    """Return the attribute that a source has by a name.

    Raises:
        ConfigError: The source has no such thing, or the audience is not clear.
    """
    if source == "measures":
        return _find_measure(name, audience, known)[1]
    owner, written = find_source(source, name, known, audience)
    return find_profile_attribute(known.settings, known.schema, written, owner)[1]


def list_source(source: Source, known: Known, audience: str = "") -> dict[str, Attribute]:
    """Return what a quick segment can be made of, by the name rules have for it.

    Raises:
        ConfigError: The source has nothing.
    """
    if source == "measures":
        return list_profile_measures(known.measures, audience)
    found: dict[str, Attribute] = {}
    for name in [audience] if audience else known.settings.audiences:
        found |= list_profile_attributes(known.settings, known.schema, name, predictions=source == "predictions")
    if source == "predictions" and not found:
        raise _no_predictions()
    return found


def _find_measure(name: str, audience: str, known: Known) -> tuple[str, Attribute]:
    """Return the audience and the attribute of a measure's value."""
    if not names_measure(known.measures, name):
        try:
            find_profile_attribute(known.settings, known.schema, name, audience)
        except ConfigError:
            pass  # then nothing is called so: what there is among measures is said below
        else:
            raise ConfigError(f'"{name}" is an attribute of the profiles, no measure.', "Use --from profiles.")
    return find_profile_measure(known.measures, name, audience)


def _find_prediction(name: str, audiences: Sequence[str], settings: Settings, schema: Schema) -> tuple[str, str]:
    """Return a column of a prediction table as rules write it: `churn.score`, also where only `score` is given."""
    found = {
        (audience, known)
        for audience in audiences
        for known in list_profile_attributes(settings, schema, audience, predictions=True)
    }
    if not found:
        raise _no_predictions()
    meant = sorted(pair for pair in found if name in (pair[1], pair[1].partition(".")[2]))
    if len(meant) == 1:
        return meant[0]
    names = sorted({known for _, known in found})
    if not meant:
        raise ConfigError(f'"{name}" is no column of a prediction table.', did_you_mean(name, names))
    if len({known for _, known in meant}) == 1:
        hint = f"Say which with --audience {' or --audience '.join(audience for audience, _ in meant)}."
        raise ConfigError(f'Several audiences have "{meant[0][1]}".', hint)
    raise ConfigError(
        f'"{name}" is a column of several prediction tables.', f"Write {' or '.join(k for _, k in meant)}."
    )


def _no_predictions() -> ConfigError:
    return ConfigError(
        "No prediction table belongs to the profiles.",
        "Mark one with `prediction: true` in the project file, with a one-to-one relationship to the profiles.",
    )


def write_value(operator: str, values: Sequence[str]) -> Plain:
    """Return what stands behind an operator in a definition.

    Values of a list may be separated by commas, as in CSV: `California,"Washington, D.C."`. A span of time may be
    several words.

    Raises:
        ConfigError: There are too few or too many values for the operator.
    """
    known = BY_NAME.get(operator)
    argument = known.argument if known else "one"
    if argument in ("flag", "boolean") and not values:
        return "true"
    if not values:
        raise ConfigError(f"Operator {operator} needs a value.", _EXAMPLES.get(argument, ""))
    if operator == "any_of" or argument in ("pair", "part"):
        split = [part for value in values for part in _split(value)]
        single = len(split) == 1 and argument == "part"
        return split[0] if single else list(split)
    if argument == "span":
        return " ".join(values)
    if argument == "many" and len(values) > 1:
        return list(values)
    if len(values) > 1:
        quoted = f'"{" ".join(values)}"'
        hint = f"Text with blanks needs quotes: {quoted}. Several values: any_of {','.join(values)}."
        raise ConfigError(f"Operator {operator} takes one value; {len(values)} are given: {', '.join(values)}.", hint)
    return values[0]


_EXAMPLES = {
    "one": "For example: equals California.",
    "many": "For example: any_of California,Nevada.",
    "pair": "For example: between 10 20.",
    "span": 'For example: within_last "20 days".',
    "period": "For example: to_date month.",
    "part": "For example: month_of december.",
}


def _split(value: str) -> list[str]:
    return [part.strip() for part in next(csv.reader([value], skipinitialspace=True), [])] or [value]


def propose_name(attribute: str, operator: str, values: Sequence[str]) -> str:
    """Return a name for a quick segment that says what it is: `state equals California`."""
    words = [attribute.replace(".", " ").replace("_", " "), operator.replace("_", " "), *values]
    return " ".join(words)[:60].strip()
