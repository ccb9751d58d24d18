"""From a definition as written to a segment with resolved names and typed values."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from segengine.project.about import read_about
from segengine.project.aggregates import AGGREGATE_SUMMARIES, find_aggregate
from segengine.project.attachments import read_attach_limit, read_attachments
from segengine.project.attributes import AggregateFunction, Path
from segengine.project.audiences import find_rows_path
from segengine.project.conditions import ExpressionReader
from segengine.project.context import Context, read_condition
from segengine.project.definitions import COMMON_FIELDS
from segengine.project.expansions import EXPANSION_FIELDS, read_expansion
from segengine.project.model import (
    All,
    Brackets,
    Definition,
    Expression,
    ProfileRule,
    Quantifier,
    RowsRule,
    Rule,
    Segment,
    SetOperator,
    Step,
)
from segengine.project.names import is_table_name, make_output_table
from segengine.project.nodes import Fields, Items, Node, Scalar
from segengine.project.operating import read_gates
from segengine.project.paths import Unresolved
from segengine.project.problems import Problems, show_node
from segengine.project.profile_parts import check_profile_parts
from segengine.project.via import read_path

ABOUT_FIELDS = (*COMMON_FIELDS, "type", "output_table", "attach", "attach_limit", "publish_if", "refresh")
SEGMENT_FIELDS = (*ABOUT_FIELDS, "where", "rules")
AGGREGATES = tuple(AGGREGATE_SUMMARIES)
RULE_FIELDS = ("over", "via", "rows", "among", "where", "rules", *AGGREGATES)
SET_OPERATORS: tuple[SetOperator, ...] = ("union", "intersect", "except")
COUNTS = (Quantifier.AT_LEAST, Quantifier.AT_MOST, Quantifier.EXACTLY)
COUNT_HINT = "Rows are counted by `rows: {at_least: 3}` in a rule: `rules: [{over: ..., rows: ...}]`."
# Fields of a rule that stand beside the segment's name instead.
MISPLACED = {
    **{name: f"Put it under `rules`: `rules: [{{over: ..., {name}: ...}}]`." for name in RULE_FIELDS},
    "over": "Put it under `rules`: `rules: [{over: ..., where: ...}]`.",
    "count": COUNT_HINT,
}


def resolve_segment(definition: Definition, context: Context, problems: Problems) -> Segment | None:
    """Return the segment (or expansion) a definition describes, or None where an error keeps it from being told."""
    problems.subject = f'{definition.kind} "{definition.name}"'
    before = problems.error_count
    fields = definition.fields
    is_expansion = definition.kind == "expansion"
    if is_expansion:
        problems.fields(fields, "an expansion", (*ABOUT_FIELDS, *EXPANSION_FIELDS))
    else:
        problems.fields(fields, "a segment", SEGMENT_FIELDS, hints=MISPLACED)
    about = read_about(definition, context.settings, problems)
    if about is None:
        return None
    context = replace(context, own_id=definition.id)
    expansion = read_expansion(fields, about.audience, context, problems) if is_expansion else None
    steps = () if is_expansion else _SegmentReader(context, about.audience, problems).read(fields)
    profile_table = context.settings.audiences[about.audience].table
    attach = read_attachments(fields, profile_table, context.settings, context.schema, problems)
    attach_limit = read_attach_limit(fields, problems)
    output_table = _output_table(definition, problems)
    gates = read_gates(fields.get("publish_if"), problems)
    if steps is None or problems.error_count > before:
        return None
    return Segment(
        id=definition.id,
        name=definition.name,
        output_table=output_table,
        steps=steps,
        attach=attach,
        attach_limit=attach_limit,
        gates=gates,
        expansion=expansion,
        place=fields.place,
        **vars(about),
    )


def _output_table(definition: Definition, problems: Problems) -> str:
    given = problems.text(definition.fields.get("output_table"), "output_table")
    if given is None:
        made = make_output_table(definition.name)
        if not made:
            message = f'no output table name can be made from "{definition.name}".'
            problems.add(definition.place, "SEG406", message, "Give it one with `output_table:`.")
        return made
    if not is_table_name(given):
        place = definition.fields.key_place("output_table")
        problems.add(place, "SEG207", f'output_table "{given}" is not letters, digits and _, beginning with a letter.')
    return given


class _SegmentReader:
    """Reads the rules of one segment."""

    def __init__(self, context: Context, audience: str, problems: Problems) -> None:
        self._context = context
        self._profile_table = context.settings.audiences[audience].table
        self._audience = audience
        self._problems = problems

    def read(self, fields: Fields) -> tuple[Step, ...] | None:
        where, rules = fields.get("where"), fields.get("rules")
        if rules is None and any(name in MISPLACED and name not in SEGMENT_FIELDS for name in fields.keys()):
            return None  # reported: what stands beside it is about rows, not about the profile
        if (where is None) == (rules is None):
            if where is None:
                message, hint = "has neither `where` nor `rules`.", "Write `where: everyone` for all profiles."
            else:
                message, hint = "has both `where` and `rules`.", "Put the condition into `rules`: `- where: ...`."
            self._problems.add(fields.place, "SEG301", message, hint)
            return None
        if rules is not None:
            return self._steps(rules)
        expression = self._expression(where)
        return None if expression is None else (Step("union", ProfileRule(expression, fields.key_place("where"))),)

    def _steps(self, node: Node) -> tuple[Step, ...] | None:
        if not isinstance(node, Items):
            self._problems.wrong_form(node, "rules", "a list of rules")
            return None
        if not node.nodes:
            self._problems.add(node.place, "SEG301", "the list of rules is empty.")
            return None
        steps = [self._first(node.nodes[0]), *(self._next(item) for item in node.nodes[1:])]
        found = tuple(step for step in steps if step is not None)
        return found if len(found) == len(steps) else None

    def _first(self, node: Node) -> Step | None:
        rule = self._rule(node)
        return Step("union", rule) if rule else None

    def _next(self, node: Node) -> Step | None:
        names = node.keys() if isinstance(node, Fields) else []
        operator = next((known for known in SET_OPERATORS if names == [known]), None)
        if operator is None or not isinstance(node, Fields):
            hint = "Write `- union: ...`, `- intersect: ...` or `- except: ...`."
            self._problems.add(node.place, "SEG203", "each rule after the first needs exactly one set operator.", hint)
            return None
        rule = self._rule(node.entries[0][1])
        return Step(operator, rule) if rule else None

    def _rule(self, node: Node) -> Rule | None:
        if isinstance(node, Fields) and len(node.entries) == 1 and node.keys()[0] in SET_OPERATORS:
            message = f"the first rule of a list has nothing to {node.keys()[0]} with."
            self._problems.add(node.place, "SEG203", message, "Write its fields without the set operator.")
            return None
        fields = self._problems.fields(node, "a rule", RULE_FIELDS, hints={"count": COUNT_HINT})
        if fields is None:
            return None
        if fields.get("rules") is not None:
            return self._brackets(fields)
        if fields.get("over") is not None:
            return self._rows_rule(fields)
        lonely = [name for name in ("via", "rows", "among", *AGGREGATES) if fields.get(name) is not None]
        for name in lonely:
            self._problems.add(fields.key_place(name), "SEG203", f"`{name}` needs `over` beside it.")
        if lonely:
            return None
        where = fields.get("where")
        if where is None:
            self._problems.add(fields.place, "SEG301", "the rule is empty.", "Give it `where`, `over` or `rules`.")
            return None
        expression = self._expression(where)
        return None if expression is None else ProfileRule(expression, fields.place)

    def _brackets(self, fields: Fields) -> Rule | None:
        if len(fields.entries) > 1:
            self._problems.add(fields.place, "SEG203", "`rules` (brackets) stands alone in its rule.")
        steps = self._steps(fields.get("rules") or Items(()))
        return None if steps is None else Brackets(steps, fields.place)

    def _rows_rule(self, fields: Fields) -> Rule | None:
        quantifier, count = self._quantifier(fields.get("rows"))
        find = partial(find_rows_path, self._context.settings, self._audience)
        path = read_path(fields, find, self._problems)
        if path is None:
            return None
        before = self._problems.error_count
        among = self._rows_expression(fields, "among", path)
        where = self._rows_expression(fields, "where", path)
        if where is None and fields.get("where") is None and quantifier is Quantifier.ALL:
            self._problems.add(fields.place, "SEG301", "`rows: all` needs `where`: what must hold on all rows?")
        aggregates = self._aggregates(fields, path)
        unread = [name for name, part in (("among", among), ("where", where)) if part is None and fields.get(name)]
        if unread or self._problems.error_count > before:
            return None
        rule = RowsRule(path, quantifier, count, among, where, aggregates, fields.place)
        check_profile_parts(rule, self._problems)
        return rule

    def _aggregates(self, fields: Fields, path: Path) -> Expression | None:
        """Return the conditions on aggregates, joined by and, or None where there is none (or none without error)."""
        given = [(function, node) for function in AGGREGATES if (node := fields.get(function)) is not None]
        if given and fields.get("rows") is not None:
            hint = "Make them two rules: `- intersect: {over: ..., rows: ...}`."
            self._problems.add(fields.key_place("rows"), "SEG203", "a rule has `rows` or aggregates, not both.", hint)
        found: list[Expression] = []
        for function, node in given:
            attributes = self._problems.fields(node, f"`{function}`", _keys(node))
            if attributes is not None and not attributes.entries:
                self._problems.add(node.place, "SEG301", f"`{function}` names no attribute.")
            for key, value in attributes.entries if attributes else ():
                expression = self._aggregate(function, key, value, path)
                found += [expression] if expression is not None else []
        if not found:
            return None
        return found[0] if len(found) == 1 else All(tuple(found), fields.place)

    def _aggregate(self, function: AggregateFunction, key: Scalar, value: Node, path: Path) -> Expression | None:
        settings, schema = self._context.settings, self._context.schema
        attribute = find_aggregate(settings, schema, path, function, key.text or "", self._context.measures)
        if isinstance(attribute, Unresolved):
            if attribute.message:
                self._problems.add(key.place, attribute.code, attribute.message, attribute.hint)
            return None
        return ExpressionReader(settings, schema, path, self._problems).read_value(attribute, value)

    def _rows_expression(self, fields: Fields, name: str, path: Path) -> Expression | None:
        node = fields.get(name)
        return None if node is None else self._expression(node, path)

    def _quantifier(self, node: Node | None) -> tuple[Quantifier, int]:
        if node is None:
            return Quantifier.ANY, 0
        if isinstance(node, Scalar):
            known = (Quantifier.ANY, Quantifier.ALL, Quantifier.NONE)
            found = next((quantifier for quantifier in known if quantifier == node.text), None)
            if found:
                return found, 0
        elif isinstance(node, Fields) and len(node.entries) == 1:
            key, value = node.entries[0]
            found = next((quantifier for quantifier in COUNTS if quantifier == key.text), None)
            if found and isinstance(value, Scalar) and value.text and value.text.isdecimal() and len(value.text) < 10:
                return found, int(value.text)
        hint = "Write any, all, none, {at_least: 3}, {at_most: 3} or {exactly: 3}."
        self._problems.add(node.place, "SEG223", f"`rows` is {show_node(node)}, which is no quantifier.", hint)
        return Quantifier.ANY, 0

    def _expression(self, node: Node | None, path: Path | None = None) -> Expression | None:
        """Return an expression over the profile, or over the rows of a path."""
        if node is None:
            return None
        return read_condition(node, path or self._profile_table, self._audience, self._context, self._problems)


def _keys(node: Node) -> list[str]:
    return node.keys() if isinstance(node, Fields) else []
