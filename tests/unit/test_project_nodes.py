"""YAML as text with places: what is read, what is refused, and that writing reads back."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from segengine.errors import Place
from segengine.project import nodes
from segengine.project.nodes import (
    Fields,
    Items,
    Scalar,
    dump_documents,
    from_plain,
    parse_documents,
    read_documents,
    to_plain,
)

# YAML has no way to write a lone surrogate; a few other code points are not text in it either.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TRICKY = st.sampled_from(
    [
        "null",
        "~",
        "",
        "NO",
        "yes",
        "01234",
        "1e3",
        "2024-02-30",
        "a: b",
        "- x",
        "#x",
        "x\n",
        "\n x",
        "%",
        "<<",
        "=",
        "'",
    ]
    + [
        "x\ny",
        " x",
        "x ",
        "a\n\n b",
        "\t",
        "x\ty",
        "\r\n",
        "\x85",
        "\u2028",
        "\ufeff",
        "\x00",
        "😀",
        "{",
        "*a",
        "&a",
        "!a",
    ]
)
PLAIN = st.recursive(
    st.none() | TEXT | TRICKY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT | TRICKY, inner, max_size=4),
    max_leaves=12,
)


def read(text: str) -> object:
    documents, issues = parse_documents(text, "a.yml")
    assert not issues
    return [to_plain(node) for node in documents]


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_values_stay_text_whichever_composer_is_there(loader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(yaml, loader):
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr(nodes, "_LOADER", getattr(yaml, loader))
    text = "a: 01234\nb: NO\nc: 0.10\nd: 2024-02-30\ne: null\nf: ~\ng:\nh: 'null'\ni: \"\"\nj: [1, null, 'x']\n"
    expected = {"a": "01234", "b": "NO", "c": "0.10", "d": "2024-02-30", "e": None, "f": None, "g": None}
    assert read(text) == [{**expected, "h": "null", "i": "", "j": ["1", None, "x"]}]
    _, issues = parse_documents("<<: {a: b}", "a.yml")
    assert "merge keys" in issues[0].message
    assert read("'<<': x") == [{"<<": "x"}]


def test_every_node_knows_its_place() -> None:
    (document,), _ = parse_documents("# first\na: 1\nb:\n  - x\n  - {c: d}\n", "dir/a.yml")
    assert isinstance(document, Fields)
    assert document.key_place("a") == Place("dir/a.yml", 2, 1)
    items = document.get("b")
    assert isinstance(items, Items)
    assert [node.place for node in items.nodes] == [Place("dir/a.yml", 4, 5), Place("dir/a.yml", 5, 5)]
    assert document.key_place("none") == document.place
    assert document.get("none") is None
    assert document.keys() == ["a", "b"]


def test_good_documents_survive_bad_ones() -> None:
    documents, issues = parse_documents("a: 1\n---\na: 1\na: 2\n---\na: 3\n---\n!x b\n---\n---\na: 4\n", "a.yml")
    assert [to_plain(node) for node in documents] == [{"a": "1"}, {"a": "3"}, {"a": "4"}]
    assert [issue.place.line for issue in issues] == [4, 8]


@settings(max_examples=300, deadline=None)
@given(st.lists(PLAIN.filter(lambda value: value is not None), max_size=3))
def test_what_is_written_reads_back(values: list[nodes.Plain]) -> None:
    assert read(dump_documents(values)) == values


@given(PLAIN)
def test_plain_values_become_nodes_and_back(value: nodes.Plain) -> None:
    assert to_plain(from_plain(value, Place("x", 3))) == value


def test_texts_are_quoted_only_where_they_must_be() -> None:
    written = dump_documents([{"a": "01234", "b": "NO", "c": "2024-01-01", "d": "null", "e": None, "f": "x: y"}])
    assert written == "a: 01234\nb: NO\nc: 2024-01-01\nd: 'null'\ne: null\nf: 'x: y'\n"


@pytest.mark.timeout(60)  # written out it would be 100 thousand million values
def test_an_alias_bomb_is_refused_at_once() -> None:
    lines = ["- &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"- &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    documents, issues = parse_documents("\n".join(lines), "a.yml")
    assert not documents
    assert "alias" in issues[0].message


def test_an_alias_may_be_used_as_often_as_people_do() -> None:
    text = "shared: &s {state: [Texas, Ohio]}\nuses:\n" + "  - *s\n" * 1_000
    (document,), issues = parse_documents(text, "a.yml")
    assert not issues
    assert len(to_plain(document)["uses"]) == 1_000  # type: ignore[index, arg-type, call-overload]


@pytest.mark.parametrize("text", ["&a [*a]", "&a {b: *a}"])
def test_an_alias_of_itself_is_refused(text: str) -> None:
    _, issues = parse_documents(text, "a.yml")
    assert [issue.code for issue in issues] == ["SEG001"]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_nesting_too_deep_to_read_is_an_issue(opening: str) -> None:
    closing = {"[": "]", "{a: ": "}", "- ": ""}[opening]
    _, issues = parse_documents(opening * 5_000 + "x" + closing * 5_000, "a.yml")
    assert "nested too deeply" in issues[0].message


def test_nesting_as_deep_as_people_write_is_read() -> None:
    documents, issues = parse_documents("{all: [" * 50 + "{a: b}" + "]}" * 50, "a.yml")
    assert documents
    assert not issues


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a: \x07", "not valid YAML"),
        (b"a: [", "not valid YAML"),
        (b"a\tb: x:y: z", "YAML"),
    ],
)
def test_files_that_cannot_be_read(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes(content)
    documents, issues = read_documents(tmp_path / "a.yml", "a.yml")
    assert not documents
    assert message in issues[0].message
    _, issues = read_documents(tmp_path / "none.yml", "none.yml")
    assert "cannot be read" in issues[0].message


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_documents(tmp_path / "a.yml", "a.yml")[0] == [Fields(((Scalar("a"), Scalar("1")),))]
