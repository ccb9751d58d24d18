"""The commands that change definitions and look at the registry, on the embedded engine."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click
import pytest
from launching import run
from test_registry import BOTH, LOCK, PROJECT, WEST, YOUNG

from segengine.cli import manage_commands
from segengine.cli.listing import sort_rows
from segengine.cli.main import main

SPEND = "kind: measure\nname: Spend\nper: customer\nover: purchases\nvalue: {sum: amount}\n"


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    (tmp_path / "segengine.yml").write_text(PROJECT)
    (tmp_path / "schema.lock.yml").write_text(LOCK)
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions" / "all.yml").write_text("---\n".join([WEST, YOUNG, BOTH, SPEND]))
    monkeypatch.setenv("SEGENGINE_CONF", str(tmp_path))
    monkeypatch.setenv("SEGENGINE_AUTHOR", "ann")
    assert main(["apply"]) == 0
    capsys.readouterr()
    return str(tmp_path)


def test_lists_are_filtered_sorted_cut_and_paged(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(
        capsys, "segments", "list", "--sort", "-name", "--columns", "id,tags", "--limit", "2", "-o", "csv"
    )
    assert (code, out) == (0, "id,tags\nyoung_in_the_west,[]\nyoung,[]\n")
    assert err == "2 of 3 segments; more with --offset 2\n"
    _, out, err = run(capsys, "segments", "list", "--search", "WEST", "--tag", "region", "-o", "json")
    assert [(row["id"], row["kind"]) for row in json.loads(out)["segments"]] == [("west_coast", "segment")]
    assert err == ""
    _, out, _ = run(capsys, "measures", "list", "--columns", "name,state")
    assert [line.split() for line in out.splitlines() if "─" not in line and line] == [
        ["measure", "state"],
        ["Spend", "active"],
    ]
    _, out, _ = run(capsys, "segments", "list", "--sort", "-segment", "--columns", "segment", "-o", "csv")
    assert out.startswith("name\nYoung in the west\n"), "headers of the table name columns too"
    for option in ("--sort", "--where"):
        code, _, err = run(capsys, "segments", "list", option, "size=1" if option == "--where" else "size")
        assert code == 2
        assert 'There is no column "size". Known: id, name,' in err


def test_lists_by_the_value_of_a_column(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    def listed(*conditions: str) -> list[str]:
        options = [part for condition in conditions for part in ("--where", condition)]
        code, out, err = run(capsys, "segments", "list", *options, "--columns", "id", "-o", "csv")
        assert (code, err) == (0, "")
        return out.splitlines()[1:]

    assert listed("status=not started") == ["west_coast", "young", "young_in_the_west"]
    assert listed("tags=Region") == ["west_coast"]
    assert listed("tags=region", "segment = Young") == []
    assert listed("as of=") == ["west_coast", "young", "young_in_the_west"]
    code, _, err = run(capsys, "segments", "list", "--where", "failed")
    assert (code, err.splitlines()[-1]) == (2, 'Error: --where "failed": expected COLUMN=VALUE, as in status=failed.')


def test_a_list_of_nothing_says_so(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "segments", "list", "--tag", "no such tag") == (0, "no segments\n", "")
    asked = ("segments", "list", "--where", "status=done", "--where", "tags=region")
    assert run(capsys, *asked)[1] == "no segments with status=done with tags=region\n"
    assert json.loads(run(capsys, *asked, "-o", "json")[1])["segments"] == []
    assert run(capsys, "segments", "list", "--offset", "9") == (0, "", "0 of 3 segments\n")
    code, _, err = run(capsys, "segments", "list", "--sort", "membrs")
    assert (code, err.splitlines()[-1]) == (2, 'Error: There is no column "membrs". Did you mean "members"?')


def test_a_change_of_nothing_says_so(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "segments", "untag", "web", "Young") == (0, "nothing to change\n", "")
    assert run(capsys, "segments", "activate", "--tag", "no such tag") == (0, "none has that tag or text\n", "")
    code, _, err = run(capsys, "segments", "tag", "Young", "spring, new")
    assert (code, err.splitlines()[-1]) == (2, "hint: The tags come first: `tag TAG[,TAG...] NAME ...`.")


def test_sorting_puts_nothing_last() -> None:
    rows = [{"n": None}, {"n": 3}, {"n": 10}, {"n": 1}]
    assert [row["n"] for row in sort_rows(rows, "n")] == [1, 3, 10, None]
    assert [row["n"] for row in sort_rows(rows, "n", descending=True)] == [10, 3, 1, None]
    assert [row["t"] for row in sort_rows([{"t": "b"}, {"t": "A"}, {"t": ""}], "t")] == ["A", "b", ""]


def test_several_want_a_yes(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "segments", "tag", "spring,web", "--search", "young")
    assert code == 2
    assert "2 definition(s) would change; say --yes" in err
    code, out, _ = run(capsys, "segments", "tag", "spring, web", "--search", "young", "--yes")
    assert (code, out.splitlines()[-1]) == (0, "applied: 2 changed")
    code, out, _ = run(capsys, "segments", "untag", "web", "young", "--dry-run")
    assert out.splitlines()[-1] == "plan: 1 changed"
    _, out, _ = run(capsys, "segments", "deactivate", "Young", "-o", "json")
    (change,) = json.loads(out)["changes"]
    assert (change["fields"], change["note"]) == (["state"], 'used by segment "Young in the west"')
    _, out, _ = run(capsys, "segments", "list", "--tag", "web", "--columns", "id,state,tags", "-o", "json")
    assert json.loads(out)["segments"] == [
        {"id": "young", "state": "inactive", "tags": ["spring", "web"]},
        {"id": "young_in_the_west", "state": "active", "tags": ["spring", "web"]},
    ]


def test_what_was_known_of_others_is_not_told_again(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    doubtful = "kind: segment\nname: Doubtful\nwhere: {age: {greater_than: 3, at_least: 5}}\n"
    (Path(conf) / "definitions" / "doubtful.yml").write_text(doubtful)
    assert "SEG304" in run(capsys, "apply")[2]
    assert run(capsys, "segments", "tag", "spring", "Young")[2] == ""
    assert "SEG304" in run(capsys, "segments", "tag", "spring", "Doubtful")[2]


def test_a_terminal_is_asked(conf: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manage_commands, "can_ask", lambda: True)
    asked: list[str] = []

    def confirm(text: str, **options: object) -> bool:
        asked.append(text)
        return True

    monkeypatch.setattr(click, "confirm", confirm)
    assert run(capsys, "segments", "rename", "West coast", "Pacific coast")[0] == 0
    assert run(capsys, "measures", "tag", "money", "Spend")[0] == 0
    _, out, _ = run(capsys, "segments", "delete", "Young in the west")
    assert asked == ["Rename its output table WestCoast to PacificCoast too?", "Do it?"]
    assert out.splitlines() == ['- segment young_in_the_west "Young in the west" removed', "plan: 1 removed", "done"]
    _, out, _ = run(capsys, "segments", "list", "--columns", "name,output_table", "-o", "csv")
    assert out == "name,output_table\nPacific coast,PacificCoast\nYoung,Young\n"


def test_consumers_keep_what_they_use(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    link = "https://campaigns.example.org"
    assert run(capsys, "consumers", "add", "Tool", "--uses", "Young in the west", "--link", link)[0] == 0
    _, out, _ = run(capsys, "usage", "Young", "-o", "json")
    (found,) = json.loads(out)["definitions"]
    assert [user["name"] for user in found["used_by"]] == ["Young in the west"]
    assert found["indirectly_used_by"] == [{"kind": "consumer", "id": "tool", "name": "Tool", "link": link}]
    code, _, err = run(capsys, "segments", "delete", "Young in the west", "--yes")
    assert code == 2
    assert 'error: "Young in the west" is used by consumer "Tool".' in err
    code, _, err = run(capsys, "consumers", "add", "Other", "--uses", "Nobody")
    assert code == 3
    assert 'there is no segment or measure "Nobody"' in err
    _, out, _ = run(capsys, "consumers", "list", "-o", "json")
    assert json.loads(out)["consumers"][0]["uses"] == ["Young in the west"]
    assert run(capsys, "consumers", "delete", "Tool", "--yes")[0] == 0
    assert run(capsys, "segments", "delete", "Young in the west", "--yes")[0] == 0


def test_history_tells_who_changed_what(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "segments", "duplicate", "West coast", "Pacific coast")[0] == 0
    assert run(capsys, "segments", "tag", "new", "Pacific coast")[0] == 0
    assert run(capsys, "segments", "delete", "Pacific coast", "--yes")[0] == 0
    _, out, _ = run(capsys, "history", "pacific_coast", "-o", "json")
    versions = json.loads(out)["versions"]
    assert [(v["version"], v["author"], v["origin"], v["removed"]) for v in versions] == [
        (1, "ann", "command", False),
        (2, "ann", "command", False),
        (3, "ann", "command", True),
    ]
    assert versions[1]["changes"] == [
        {"field": "tags", "before": ["region", "demo"], "after": ["region", "demo", "new"]}
    ]
    _, out, _ = run(capsys, "history", "Pacific coast")
    assert "  -tags: [region, demo]\n  +tags: [region, demo, new]\n" in out
    assert out.endswith("  deleted\n")
    assert run(capsys, "history", "Atlantic")[0] == 2


def test_an_edit_is_checked_and_kept_when_it_fails(
    conf: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", "sed -i s/less_than/at_most/")
    code, out, _ = run(capsys, "segments", "edit", "Young")
    assert code == 0
    assert out.splitlines()[0] == '~ segment young "Young" changed (where); used by segment "Young in the west"'
    monkeypatch.setenv("EDITOR", "sed -i s/age/agee/")
    code, _, err = run(capsys, "segments", "edit", "Young")
    kept = Path(err.splitlines()[0].removeprefix("kept in "))
    assert code == 3
    assert 'Did you mean "age"?' in err
    assert "agee" in kept.read_text()
    kept.unlink()
    monkeypatch.setenv("TMPDIR", conf)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("EDITOR", "no-such-editor")
    code, _, err = run(capsys, "segments", "edit", "Young")
    assert (code, "The editor failed: no-such-editor: " in err, "$EDITOR" in err) == (2, True, True)
    assert not list(Path(conf).glob("young-*.yml"))
    monkeypatch.setenv("EDITOR", "true")
    assert run(capsys, "measures", "edit", "Spend")[1] == "nothing changed\n"
