"""From a definition of a suggestion or an insight to an analysis with resolved names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from segengine.errors import Place
from segengine.project.about import read_about
from segengine.project.activities import column_of
from segengine.project.analysis import (
    HIDDEN,
    MOST_OVERLAPPING,
    ActivityQuestion,
    Analysis,
    DifferenceQuestion,
    DimensionName,
    Evaluated,
    OverlapQuestion,
    Question,
    TargetQuestion,
)
from segengine.project.attributes import Attribute
from segengine.project.context import Context
from segengine.project.definitions import COMMON_FIELDS
from segengine.project.measures import resolve_written
from segengine.project.model import Definition, ModelField
from segengine.project.model_fields import (
    is_everyone_else,
    is_key_field,
    list_fields,
    read_field,
    read_fields,
    read_segment,
)
from segengine.project.names import with_article
from segengine.project.nodes import Fields, Items, Node
from segengine.project.problems import Problems, did_you_mean
from segengine.project.project_file import Activity, Schema, Settings
from segengine.project.templates import DIMENSIONS, expand_figures, find_activity
from segengine.project.types import Family

DEFAULT_DIMENSIONS: tuple[DimensionName, ...] = ("recency", "frequency", "monetary")
TARGETS = (Family.NUMBER, Family.TEXT, Family.BOOLEAN)
QUESTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "suggestion": {"improve": ("influences", "of"), "activity": ("via", "period", "dimensions", "of")},
    "insight": {"differentiators": ("fields",), "overlap": ("fields",)},
}
"""Of each kind the field that asks its question, and what may stand beside it."""
ABOUT_FIELDS = (*COMMON_FIELDS, "type", "refresh")


def resolve_analysis(definition: Definition, context: Context, problems: Problems) -> Analysis | None:
    """Return the suggestion or insight a definition describes, or None where an error keeps it from being told."""
    problems.subject = f'{definition.kind} "{definition.name}"'
    before = problems.error_count
    asked = _find_asked(definition, problems)
    about = read_about(definition, context.settings, problems)
    if about is None or not asked:
        return None
    reader = _QuestionReader(definition, about.audience, replace(context, own_id=definition.id), problems)
    question = reader.read(asked)
    if question is None or problems.error_count > before:
        return None
    return Analysis(
        id=definition.id,
        name=definition.name,
        question=question,
        place=definition.place,
        **vars(about),
    )


def _find_asked(definition: Definition, problems: Problems) -> str:
    """Return the field that asks the question, '' where there is none or more than one (reported)."""
    fields, kind = definition.fields, definition.kind
    forms = QUESTIONS[kind]
    what = with_article(kind)
    given = [name for name in forms if fields.get(name) is not None]
    if len(given) == 1:
        (asked,) = given
        others = {name for form in forms.values() for name in form} - {*forms[asked]}
        hints = {name: f"It does not go with `{asked}`." for name in others}
        problems.fields(fields, what, (*ABOUT_FIELDS, asked, *forms[asked]), hints=hints)
        return asked
    problems.fields(fields, what, (*ABOUT_FIELDS, *forms, *(name for form in forms.values() for name in form)))
    named = " and ".join(f"`{name}`" for name in given)
    message = f"has {named}: {what} asks one question." if given else "asks nothing."
    problems.add(fields.place, "SEG202", message, f"Write one of {', '.join(f'`{name}`' for name in forms)}.")
    return ""


class _QuestionReader:
    """Reads the question of one analysis."""

    def __init__(self, definition: Definition, audience: str, context: Context, problems: Problems) -> None:
        self._definition = definition
        self._fields = definition.fields
        self._audience = audience
        self._context = context
        self._problems = problems

    def read(self, asked: str) -> Question | None:
        readers: dict[str, Callable[[], Question | None]] = {
            "improve": self._target,
            "activity": self._activity,
            "differentiators": self._difference,
            "overlap": self._overlap,
        }
        return readers[asked]()

    def _target(self) -> TargetQuestion | None:
        node = self._fields.get("improve")
        name = self._problems.text(node, "improve")
        target = read_field(node, self._audience, self._context, self._problems) if node and name else None
        if self._fields.get("influences") is None:
            hint = "Name attributes or measures: `influences: [state, occupation]`."
            self._problems.add(self._fields.place, "SEG202", 'the field "influences" is missing.', hint)
        influences, of = self._model_fields("influences"), self._segment(self._fields, "of")
        if target is None:
            return None
        if isinstance(target.source, Attribute) and target.source.type.family not in TARGETS:
            message = f'"{name}" is {target.source.type}, expected a number, text or a boolean.'
            self._problems.add(self._fields.key_place("improve"), "SEG236", message)
        for field, place in influences.items():
            if field.source == target.source:
                message = f'"{name}" is what is to be improved: it cannot be among its influences.'
                self._problems.add(place, "SEG236", message, "Leave it out.")
        return TargetQuestion(target, tuple(influences), of)

    def _activity(self) -> ActivityQuestion | None:
        activity = find_activity(self._fields, self._context, self._problems)
        names = self._dimensions(activity)
        of = self._segment(self._fields, "of")
        if activity is None or names is None:
            return None
        written = expand_figures(self._fields, self._audience, names, activity, self._problems)
        if written is None:
            return None
        own = replace(self._definition, id=HIDDEN + self._definition.id, name="figures", fields=written.fields)
        figures = resolve_written(own, written, self._context, self._problems)
        return None if figures is None else ActivityQuestion(activity.name, names, figures, of)

    def _dimensions(self, activity: Activity | None) -> tuple[DimensionName, ...] | None:
        node = self._fields.get("dimensions")
        if node is None:
            found = (name for name in DEFAULT_DIMENSIONS if activity and _has_columns(activity, name))
            return tuple(found)
        before = self._problems.error_count
        texts = self._problems.texts(node, "dimensions")
        place = self._fields.key_place("dimensions")
        if not texts and self._problems.error_count == before:
            self._problems.add(place, "SEG236", "`dimensions` is empty.", f"Known: {', '.join(DIMENSIONS)}.")
        for text in texts:
            if text not in DIMENSIONS:
                hint = did_you_mean(text, DIMENSIONS)
                self._problems.add(place, "SEG236", f'there is no dimension "{text}".', hint)
            elif texts.count(text) > 1:
                self._problems.add(place, "SEG236", f'the dimension "{text}" stands twice.', "Name each once.")
                break
        return tuple(name for name in DIMENSIONS if name in texts) if self._problems.error_count == before else None

    def _difference(self) -> DifferenceQuestion | None:
        parts = self._problems.fields(self._fields.get("differentiators"), "differentiators", ("of", "against"))
        fields = self._model_fields("fields")
        if parts is None:
            return None
        if parts.get("of") is None:
            hint = "Write `differentiators: {of: SEGMENT, against: everyone_else}`."
            self._problems.add(parts.place, "SEG202", 'the field "of" is missing: what tells whom?', hint)
        of = self._segment(parts, "of")
        against = "" if is_everyone_else(parts.get("against")) else self._segment(parts, "against")
        if of and of == against:
            message = "a segment does not differ from itself: `of` and `against` are the same."
            self._problems.add(parts.key_place("against"), "SEG236", message)
        return DifferenceQuestion(of, against, tuple(fields), is_every_field=self._fields.get("fields") is None)

    def _overlap(self) -> OverlapQuestion | None:
        node, fields = self._fields.get("overlap"), self._model_fields("fields")
        if not isinstance(node, Items):
            if node is not None:
                self._problems.wrong_form(node, "overlap", "a list of segments")
            return None
        found: dict[str, None] = {}
        for item in node.nodes:
            identity = self._read_segment(item, "a segment of overlap")
            if identity in found:
                name = self._problems.text(item, "")
                message = f'"{name}" stands twice: it overlaps with itself entirely.'
                self._problems.add(item.place, "SEG236", message, "Name each segment once.")
            found |= {identity: None} if identity else {}
        if not 2 <= len(node.nodes) <= MOST_OVERLAPPING:
            message = f"overlap has {len(node.nodes)} segment(s), expected 2 to {MOST_OVERLAPPING}."
            self._problems.add(node.place, "SEG236", message)
        return OverlapQuestion(tuple(found), tuple(fields))

    def _model_fields(self, name: str) -> Mapping[ModelField, Place]:
        return read_fields(self._fields.get(name), name, self._audience, self._context, self._problems)

    def _segment(self, fields: Fields, name: str) -> str:
        """Return the id of the segment a field names, '' where it names none (or one that is not there: reported)."""
        node = fields.get(name)
        return (self._read_segment(node, name) or "") if node else ""

    def _read_segment(self, node: Node, what: str) -> str | None:
        return read_segment(node, what, self._audience, self._context, self._problems)


def _has_columns(activity: Activity, name: DimensionName) -> bool:
    return all(column_of(activity, role) for role in DIMENSIONS[name].needs)


def with_every_field(
    analysis: Analysis, settings: Settings, schema: Schema, evaluated: Mapping[str, Evaluated]
) -> Analysis:
    """Return an insight whose fields were left out with all there are, but keys; any other analysis as it is.

    Args:
        analysis: Any analysis.
        settings: The project.
        schema: Its columns.
        evaluated: All definitions by id.
    """
    question = analysis.question
    if not isinstance(question, DifferenceQuestion) or not question.is_every_field:
        return analysis
    every = list_fields(analysis.audience, settings, schema, evaluated)
    fields = tuple(field for field in every if not is_key_field(field, settings))
    return replace(analysis, question=replace(question, fields=fields))
