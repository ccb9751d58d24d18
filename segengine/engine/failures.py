"""Engine errors in words a person can act on.

The engines agree on neither classes nor conditions: classic Spark lets bare Py4J errors through, the
embedded engine sets no condition at all, deltalake has a tree of its own. So errors are told apart by the names
of their classes and by their text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from segengine.errors import (
    DATA_CONTRACT,
    DataContractError,
    RunError,
    SegEngineError,
    coded_failure,
    decode_failure,
    encode_failure,
)

__all__ = ["coded_failure", "decode_failure", "describe_error", "encode_failure", "engine_errors", "last_line"]

# By name: Py4J and gRPC may be missing, and PySpark has sibling classes for classic and Connect.
_ENGINE_CLASSES = frozenset(
    {"PySparkException", "Py4JError", "Py4JNetworkError", "RpcError", "DeltaError", "ArrowException"}
)
_LONGEST_DETAIL = 300
_PYTHON_ERROR = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|Exit|Interrupt|Warning)\b")
_JAVA_CLASS = re.compile(r"^:?\s*(?:Caused by:\s*)?(?:[a-z_]\w*\.){2,}[A-Z][\w$]*:?\s*")
_CONDITION = re.compile(r"\[([A-Z][A-Z0-9_]+(?:\.[A-Z0-9_]+)*)\]")
_QUOTED = re.compile(r"'[^'\n]*'")


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Raise what goes wrong in the engine inside the block as one of our own exceptions, cause kept.

    Args:
        doing: what the block does, with names, to follow "Failed while": "reading table customer".

    Raises:
        DataContractError: a function in the engine raised a coded failure with the code "data-contract".
        RunError: any other failure of the engine. Our own exceptions and plain Python errors pass unchanged.
    """
    try:
        yield
    except SegEngineError:
        raise
    except Exception as error:  # what is not the engine's goes on unchanged
        mapped = _map_error(error, doing)
        if mapped is None:
            raise
        raise mapped from error


def _map_error(error: Exception, doing: str) -> SegEngineError | None:
    text = str(error)
    coded = decode_failure(text)
    if coded is not None:
        kind = DataContractError if coded.code == DATA_CONTRACT else RunError
        return kind(f"Failed while {doing}: {coded.message}", coded.hint)
    if _ENGINE_CLASSES.isdisjoint(base.__name__ for base in type(error).__mro__):
        return None
    return RunError(f"Failed while {doing}: {describe_error(error)}")


def describe_error(error: Exception) -> str:
    """Return condition and cause in one line, without the values of rows, which engines put in quotes."""
    line = _QUOTED.sub("'...'", _find_telling_line(error, str(error)))
    condition = _read_condition(error)
    if condition and condition not in line:
        line = f"[{condition}] {line}"
    return line if len(line) <= _LONGEST_DETAIL else line[:_LONGEST_DETAIL].rstrip() + " ..."


def _find_telling_line(error: Exception, text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if "Traceback (most recent call last)" in text:
        raised = [line for line in lines if _PYTHON_ERROR.match(line)]
        if raised:
            return raised[-1]
    if any(base.__name__ == "Py4JJavaError" for base in type(error).__mro__):
        # "An error occurred while calling o1.save." and then Java's chain of causes; the last one tells most.
        causes = [line for line in lines if line.startswith("Caused by:")] or lines[1:2] or lines
        conditions = [line for line in lines if _CONDITION.search(line) and not line.startswith("at ")]
        return _JAVA_CLASS.sub("", (conditions or causes)[-1]) or causes[-1]
    if any(base.__name__ == "RpcError" for base in type(error).__mro__):
        details = getattr(error, "details", None)
        return str(details()) if callable(details) and details() else lines[0]
    return _JAVA_CLASS.sub("", lines[0]) or lines[0]


def _read_condition(error: Exception) -> str:
    get_condition = getattr(error, "getCondition", None)
    try:
        return str(get_condition() or "") if callable(get_condition) else ""
    except Exception:  # noqa: BLE001 - classic Spark asks the JVM, which may be gone; the text still tells
        return ""


def last_line(text: str) -> str:
    """Return the last line that is not empty, cut to a length for one line of a message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:_LONGEST_DETAIL] if lines else "no reason given"
