"""Reading what something depends on before itself, so that long chains need no deep recursion."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator

from segengine.project.nodes import Fields, Items, Node, Scalar
from segengine.project.tokens import ExpressionError, split_tokens

_NAMING = ("over", "expression")
MAX_NESTED = 40
"""How many readings may wait for each other: what is read in order waits for nothing, so more are a circle."""


def read_first(start: str, mentions: Callable[[str], Iterable[str]], done: Container[str]) -> list[str]:
    """Return what to read, in order, before a thing can be: all it mentions, directly or not, and itself.

    Args:
        start: The thing.
        mentions: What a thing may depend on; more than it does is no harm.
        done: What needs no reading any more.
    """
    order: dict[str, None] = {}
    seen = {start}
    waiting = [(start, iter(mentions(start)))]
    while waiting:
        name, rest = waiting[-1]
        following = next((other for other in rest if other not in seen and other not in done), None)
        if following is None:
            waiting.pop()
            order[name] = None
        else:
            seen.add(following)
            waiting.append((following, iter(mentions(following))))
    return list(order)


def mentioned_names(fields: Fields) -> Iterator[str]:
    """Yield every text in a measure as written that may name another: all keys, and what stands behind some of them."""
    waiting: list[Node] = [fields]
    while waiting:
        found = waiting.pop()
        if isinstance(found, Items):
            waiting += found.nodes
        for key, value in found.entries if isinstance(found, Fields) else ():
            yield from names_in(key.text or "")
            if isinstance(value, Scalar) and key.text in _NAMING:
                yield from names_in(value.text or "")
            waiting.append(value)


def names_in(text: str) -> Iterator[str]:
    """Yield what may be names in a text: all of it, its parts between points, and the names in an expression."""
    yield text
    yield from text.split(".")
    try:
        tokens = split_tokens(text)
    except ExpressionError:
        return
    for token in tokens:
        if token.kind == "name":
            yield token.text
            yield from token.text.split(".")
