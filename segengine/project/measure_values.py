"""Reading `value` and `values`: aggregates over the rows of a measure, and expressions over other values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from segengine.errors import Level, Place
from segengine.project.aggregates import MAX_PRECISION, ORDERED, PICK_SUMMARIES, find_misfit, value_type
from segengine.project.attributes import Aggregate, AggregateFunction, Arithmetic, Attribute, Operand, Path, ValueOf
from segengine.project.context import Context, read_condition
from segengine.project.dependencies import MAX_NESTED, names_in, read_first
from segengine.project.expressions import read_operand
from segengine.project.measure import MeasureValue
from segengine.project.measure_names import BY_ID, find_named
from segengine.project.measure_rows import Rows
from segengine.project.model import Expression
from segengine.project.nodes import Fields, Node, Scalar
from segengine.project.paths import Unresolved
from segengine.project.problems import Problems, did_you_mean
from segengine.project.profile_parts import check_measure_parts
from segengine.project.types import AttributeType, Family, LiteralError, parse_date, parse_instant, parse_span
from segengine.project.walk import operand_attributes

FUNCTIONS = tuple(AggregateFunction)
VALUE_FIELDS = (*FUNCTIONS, "by", "where", "expression", "if_missing")
ROWS = "rows"  # `count: rows`
_OF_ARITHMETIC = (AggregateFunction.SUM, AggregateFunction.AVERAGE, AggregateFunction.MIN, AggregateFunction.MAX)
_NEVER_MISSING = (AggregateFunction.SUM, AggregateFunction.COUNT, AggregateFunction.COUNT_UNIQUE)
_ARITHMETIC_HINT = "Arithmetic on each row has attributes, numbers and + - * / ( )."


class ValueReader:
    """Reads the values of one measure; those an expression names are read when they are asked for.

    `profile_table`: whose attributes and measures expressions may name, '' where only values of the measure may be.
    """

    def __init__(
        self, nodes: Mapping[str, Node], rows: Rows | None, audience: str, profile_table: str, context: Context
    ) -> None:
        self._nodes = nodes
        self._rows = rows
        self._audience = audience
        self._profile_table = profile_table
        self._context = context
        self._read: dict[str, MeasureValue | None] = {}
        self._open: list[str] = []

    def read_all(self, problems: Problems) -> tuple[MeasureValue, ...] | None:
        """Return the values as written, or None where one has errors (which are reported)."""
        values = [self._value(name, problems) for name in self._nodes]
        found = tuple(value for value in values if value is not None)
        return found if len(found) == len(values) else None

    def _value(self, name: str, problems: Problems) -> MeasureValue | None:
        if name not in self._read:
            first = [] if self._open else read_first(name, self._mentioned, self._read)
            for following in first or [name]:
                if following not in self._read:
                    self._open.append(following)
                    value = self._make(following, self._nodes[following], problems)
                    self._open.pop()
                    self._read[following] = value
        return self._read[name]

    def _mentioned(self, name: str) -> list[str]:
        """Return the other values that one may be made of."""
        node = self._nodes[name]
        expression = node.get("expression") if isinstance(node, Fields) else None
        text = expression.text if isinstance(expression, Scalar) else None
        return [found for found in names_in(text or "") if found in self._nodes]

    def _make(self, name: str, node: Node, problems: Problems) -> MeasureValue | None:
        before = problems.error_count
        what = f'value "{name}"'
        fields = problems.fields(node, what, VALUE_FIELDS)
        if fields is None:
            return None
        given = [key for key in fields.keys() if key in (*FUNCTIONS, "expression")]
        if len(given) != 1:
            found = f"has {' and '.join(given)}, expected one" if given else "has no function"
            problems.add(fields.place, "SEG229", f"{what} {found}.", f"Known: {', '.join(FUNCTIONS)}, expression.")
            return None
        function = next((known for known in FUNCTIONS if known == given[0]), None)
        source: Aggregate | Operand | None
        if function is None:
            source = self._expression(fields, what, problems)
        else:
            source = self._aggregate(function, fields, what, problems)
        where = self._where(fields, problems)
        if source is None or problems.error_count > before:
            return None
        type_ = _type_of(source)
        if type_.scale > MAX_PRECISION:
            message = f"{what} would have {type_.scale} digits after the point, at most {MAX_PRECISION} are kept."
            problems.add(fields.place, "SEG230", message)
            return None
        if_missing = self._if_missing(fields, source, type_, what, problems)
        if problems.error_count > before:
            return None
        return MeasureValue(name, type_, source, where, if_missing, place=fields.place)

    # ---- aggregates

    def _aggregate(
        self, function: AggregateFunction, fields: Fields, what: str, problems: Problems
    ) -> Aggregate | None:
        node = fields.get(function)
        if self._rows is None:
            message = f"{what}: `{function}` needs rows."
            problems.add(fields.key_place(function), "SEG229", message, "Name a table with `over`.")
            return None
        by = self._by(function, fields, what, problems)
        if not isinstance(node, Scalar) or not node.text:
            expected = "`rows` or an attribute" if function is AggregateFunction.COUNT else "an attribute of the rows"
            problems.wrong_form(node or fields, f"{what}: `{function}`", expected)
            return None
        if function is AggregateFunction.COUNT and node.text == ROWS:
            return Aggregate(function, None)
        of = self._of(function, node.text, node.place, what, problems)
        if of is None or (by is None and function in PICK_SUMMARIES):
            return None
        key = self._rows.key(self._context) if by else ()
        return Aggregate(function, of, by, key)

    def _by(self, function: AggregateFunction, fields: Fields, what: str, problems: Problems) -> Attribute | None:
        node = fields.get("by")
        if function not in PICK_SUMMARIES:
            if node is not None:
                hint = f"It belongs to {', '.join(PICK_SUMMARIES)}."
                problems.add(fields.key_place("by"), "SEG229", f"{what}: `by` does not fit `{function}`.", hint)
            return None
        if node is None:
            hint = f"Write `{{{function}: ..., by: ATTRIBUTE}}`."
            problems.add(fields.key_place(function), "SEG202", f'{what}: `{function}` needs the field "by".', hint)
            return None
        name = problems.text(node, f"{what}: `by`")
        by = self._attribute(name, node.place, problems) if name else None
        if by is not None and by.type.family not in ORDERED:
            hint = "It takes numbers, dates and timestamps."
            problems.add(node.place, "SEG225", f"{what}: `by` does not fit {by.name} ({by.type}).", hint)
            return None
        return by

    def _of(
        self, function: AggregateFunction, text: str, place: Place, what: str, problems: Problems
    ) -> Attribute | Arithmetic | None:
        """Return what is aggregated: an attribute, or arithmetic on each row."""
        assert self._rows is not None  # noqa: S101 - aggregates are read where there are rows
        of: Attribute | Arithmetic | None
        if not any(sign in text for sign in "+-*/()`") or self._is_attribute(text):
            of = self._attribute(text, place, problems)
        else:
            if function not in _OF_ARITHMETIC:
                message = f"{what}: `{function}` takes an attribute, not arithmetic."
                problems.add(place, "SEG225", message, f"Arithmetic stands in {', '.join(_OF_ARITHMETIC)}.")
                return None
            of = self._arithmetic(text, place, what, problems)
        if of is None:
            return None
        name = of.name if isinstance(of, Attribute) else f'"{text}"'
        if misfit := find_misfit(function, name, of.type):
            problems.add(place, misfit.code, f"{what}: {misfit.message}", misfit.hint)
            return None
        return of

    def _is_attribute(self, text: str) -> bool:
        """Return whether a text with signs of arithmetic in it is the name of an attribute all the same."""
        if self._rows is None or (self._rows.path is not None and len(text.split()) > 1):
            return False  # columns of tables have no blanks in their names
        return isinstance(self._rows.find(self._context, text), Attribute)

    def _arithmetic(self, text: str, place: Place, what: str, problems: Problems) -> Attribute | Arithmetic | None:
        operand = read_operand(text, place, self._row_operand, problems)
        if operand is None:
            return None
        if isinstance(operand, Attribute | Arithmetic) and next(operand_attributes(operand), None):
            return operand
        problems.add(place, "SEG230", f'{what}: "{text}" names no attribute of the rows.')
        return None

    def _row_operand(self, name: str, place: Place) -> Operand | Unresolved:
        assert self._rows is not None  # noqa: S101 - as above
        return self._rows.find(self._context, name)

    def _attribute(self, name: str, place: Place, problems: Problems) -> Attribute | None:
        assert self._rows is not None  # noqa: S101 - as above
        found = self._rows.find(self._context, name)
        if isinstance(found, Attribute):
            return found
        hint = _ARITHMETIC_HINT if len(name.split()) > 1 and found.code == "SEG204" else found.hint
        if found.message:
            problems.add(found.place or place, found.code, found.message, hint)
        return None

    # ---- expressions

    def _expression(self, fields: Fields, what: str, problems: Problems) -> Operand | None:
        for name in ("by", "where"):
            if fields.get(name) is not None:
                message = f"{what}: `{name}` does not fit an `expression`: it is no aggregate over rows."
                problems.add(fields.key_place(name), "SEG229", message, "Give it to the values the expression names.")
        node = fields.get("expression")
        text = problems.text(node, f"{what}: `expression`")
        if text is None or node is None:
            return None

        def find(name: str, place: Place) -> Operand | Unresolved:
            return self._operand(name, place, problems)

        return read_operand(text, node.place, find, problems)

    def _operand(self, name: str, place: Place, problems: Problems) -> Operand | Unresolved:
        """Return what a name in an expression means: a value of the measure, else something the profile has one of."""
        if name in self._open:
            ring = [*self._open[self._open.index(name) :], name]
            chain = " -> ".join(f'"{member}"' for member in ring)
            hint = "Rename the value where something else of that name is meant."
            return Unresolved("SEG404", f"values refer to each other in a circle: {chain}.", hint)
        if name in self._nodes and len(self._open) > MAX_NESTED:
            return Unresolved("SEG404", f"more than {MAX_NESTED} values refer to each other in a circle.")
        if name in self._nodes:
            value = self._value(name, problems)
            return Unresolved("SEG230", "") if value is None else ValueOf(name, value.type)
        if not self._profile_table:
            near = did_you_mean(name, self._nodes)
            hint = near if near.startswith("Did") else "Only a measure of one value per profile can name others."
            return Unresolved("SEG230", f'the expression names "{name}", which is no value of the measure.', hint)
        context = self._context
        found = find_named(context.settings, context.schema, self._profile_table, name, context.measures)
        if isinstance(found, Attribute) or found.code not in ("SEG204",):
            return found
        near = did_you_mean(name, [*self._nodes, *context.measures])
        message = f'the expression names "{name}", which is no value, measure or attribute of the profile.'
        return replace(found, message=message, hint=near if near.startswith("Did") else found.hint)

    # ---- what both have

    def _where(self, fields: Fields, problems: Problems) -> Expression | None:
        node = fields.get("where")
        if node is None or self._rows is None or fields.get("expression") is not None:
            return None
        return read_filter(node, self._rows, self._audience, self._context, problems)

    def _if_missing(
        self, fields: Fields, source: Aggregate | Operand, type_: AttributeType, what: str, problems: Problems
    ) -> str | None:
        node = fields.get("if_missing")
        if node is None:
            return None
        text = problems.text(node, f"{what}: `if_missing`")
        if text is None:
            return None
        try:
            check_literal(text, type_, self._context.settings.time_zone)
        except LiteralError as error:
            problems.add(node.place, "SEG207", f"{what}: if_missing is {text!r} ({type_}): {error}.")
            return None
        if isinstance(source, Aggregate) and source.function in _NEVER_MISSING:
            message = f"{what}: `if_missing` has no effect: `{source.function}` of nothing is 0."
            problems.add(fields.key_place("if_missing"), "SEG304", message, "Leave it out.", Level.WARNING)
        return text


def read_filter(node: Node, rows: Rows, audience: str, context: Context, problems: Problems) -> Expression | None:
    """Return a condition on the rows of a measure; what only the profile can tell must be there for all of them."""
    before = problems.error_count
    expression = read_condition(node, rows.judged or rows.base, audience, context, problems)
    if expression is not None and problems.error_count == before:
        judged = rows.judged if isinstance(rows.judged, Path) else rows.path
        check_measure_parts(expression, judged, problems)
    return expression


def check_literal(text: str, type_: AttributeType, zone: str) -> None:
    """Check that a text is exactly one value of a type.

    Raises:
        LiteralError: It is not.
    """
    if type_.family is Family.NUMBER:
        low, high = parse_span(text, type_, zone)
        if low == high:
            raise LiteralError(f"expected a number with at most {type_.scale} digits after the point")
    elif type_.family is Family.BOOLEAN:
        if text not in ("true", "false"):
            raise LiteralError("expected true or false")
    elif type_.family is Family.DATE:
        parse_date(text)
    elif type_.family is Family.TIMESTAMP:
        parse_instant(text, zone)


def is_value_name(name: str) -> bool:
    """Return whether conditions and expressions can call a measure or one of its values so."""
    return bool(name.strip()) and not any(sign in name for sign in ".`") and not name.startswith(BY_ID)


def _type_of(source: Aggregate | Operand) -> AttributeType:
    if not isinstance(source, Aggregate):
        return source.type
    return value_type(source.function, source.of.type if source.of else AttributeType("integer"))
