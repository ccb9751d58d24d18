"""Reading `over` and `via`: which rows, and how they reach the profile."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from segengine.project.attributes import Path
from segengine.project.nodes import Fields, Items, Node, Scalar
from segengine.project.paths import Unresolved, ViaStep
from segengine.project.problems import Problems

FindPath = Callable[[str, Sequence[ViaStep]], Path | Unresolved]


def read_path(fields: Fields, find_path: FindPath, problems: Problems) -> Path | None:
    """Return the path that `over` and `via` name, or None where they have errors (which are reported)."""
    over = problems.text(fields.get("over"), "over")
    via = _read_via(fields.get("via"), problems)
    if over is None or via is None:
        return None
    path = find_path(over, via)
    if isinstance(path, Unresolved):
        problems.add(path.place or fields.key_place("over"), path.code, path.message, path.hint)
        return None
    return path


def _read_via(node: Node | None, problems: Problems) -> list[ViaStep] | None:
    """Return the hops of `via`: one, a list of them, or none where it is left out; None where it has errors."""
    nodes = node.nodes if isinstance(node, Items) else [] if node is None else [node]
    steps = [_read_step(step, problems) for step in nodes]
    found = [step for step in steps if step is not None]
    return found if len(found) == len(steps) else None


def _read_step(node: Node, problems: Problems) -> ViaStep | None:
    if isinstance(node, Scalar) and node.text:
        return ViaStep(node.text, place=node.place)
    back = node.get("back") if isinstance(node, Fields) and node.keys() == ["back"] else None
    if back is None:
        expected = "a relationship's name, `{back: table.relationship}`, or a list of them"
        problems.wrong_form(node, "`via`", expected)
        return None
    if isinstance(back, Scalar) and all((back.text or "").partition(".")):
        return ViaStep(back.text or "", back=True, place=node.place)
    problems.wrong_form(back, "`back`", "`table.relationship`: a relationship that arrives where the path stands")
    return None
