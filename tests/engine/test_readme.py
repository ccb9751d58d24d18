"""Every example of the README, run as written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from segengine.cli.main import main
from segengine.demo.contoso import write_contoso
from segengine.demo.projects import copy_project
from segengine.project.templates import TEMPLATES

README = (Path(__file__).parents[2] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def example(name: str) -> str:
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def commands(block: str) -> list[tuple[list[str], list[str]]]:
    """Return the commands of a console block, each with the lines it must print."""
    found: list[tuple[list[str], list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ segengine "):
            found.append((shlex.split(line)[2:], []))
        elif line != "...":
            found[-1][1].append(line.removesuffix("..."))
    return found


def run(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    for argv, expected in commands(block):
        code = main(argv)
        captured = capsys.readouterr()
        assert code == (3 if any(": error SEG" in line for line in expected) else 0), captured.err
        for line in expected:
            assert line in captured.out, f"segengine {' '.join(argv)} does not print {line!r}:\n{captured.out}"


def test_the_tour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    demo, look, regulars, mistake, suggestions, apart, overlap, past = blocks("console")
    run(demo, capsys)
    run(look, capsys)
    run(apart, capsys)
    run(overlap, capsys)
    definition = Path("coffee/definitions/new.yml")
    definition.write_text(example("definition"))
    run(regulars, capsys)
    exec(compile(example("python"), "README.md", "exec"), {})  # noqa: S102 - it is ours
    count = int(capsys.readouterr().out)
    assert main(["segments", "members", "espresso_regulars", "-o", "csv", "--conf", "coffee"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == count + 1
    definition.write_text(example("mistake"))
    run(mistake, capsys)
    definition.write_text(example("analyses"))
    run(suggestions, capsys)
    run(past, capsys)


@pytest.mark.parametrize("name", ["language", "similar", "analyses", "gates"])
def test_definitions(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy_project("contoso", tmp_path)
    (tmp_path / "definitions" / "new.yml").write_text(example(name))
    assert main(["validate", "--conf", str(tmp_path)]) == 0
    assert "0 error(s), 0 other issue(s)" in capsys.readouterr().out


def test_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    copy_project("contoso", Path("coffee"))
    write_contoso(Path("coffee"))
    folder = ["--conf", "coffee"]
    for file in Path("coffee/definitions").glob("*.yml"):
        file.unlink()
    Path("coffee/definitions/measures.yml").write_text(example("measures"))
    assert main(["validate", *folder]) == 0
    assert "7 definition(s): 0 error(s), 0 other issue(s)" in capsys.readouterr().out
    assert main(["apply", *folder]) == 0
    assert main(["refresh", "--as-of", "2026-06-30", *folder]) == 0, capsys.readouterr().err
    capsys.readouterr()
    quick = next(re.finditer(r"`(quick profile \".*?)`, `(quick create .*?)`", README))
    assert main([*shlex.split(quick[1]), *folder]) == 0
    assert "of 5,000 profiles of audience customer, as of 2026-06-30 23:59 (snapshot 1)" in capsys.readouterr().out
    assert main([*shlex.split(quick[2]), "--name", "Spenders", "--as-of", "2026-06-30", "--yes", *folder]) == 0
    assert 'created segment spenders "Spenders"' in capsys.readouterr().out


def test_the_table_of_templates_is_complete() -> None:
    row = r"^\| (`\w+`(?:, `\w+`)*) \| [^|]+ \|(?: (`.*`))? \|$"
    rows = re.findall(row, README.split("| templates over")[1], re.MULTILINE)
    named = {name: set(re.findall(r"\w+", needs)) for names, needs in rows for name in re.findall(r"\w+", names)}
    assert set(named) == set(TEMPLATES)
    assert [name for name, template in TEMPLATES.items() if not set(template.needs) <= named[name]] == []


def test_accounts_and_contacts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy_project("harbor_supply", tmp_path)
    shown, project = yaml.safe_load(example("accounts")), yaml.safe_load((tmp_path / "segengine.yml").read_text())
    assert shown["audiences"] == project["audiences"]
    assert all(link in project["relationships"] for link in shown["relationships"])
    (tmp_path / "definitions" / "new.yml").write_text(example("contacts"))
    assert main(["validate", "--conf", str(tmp_path)]) == 0, capsys.readouterr().out
    assert main(["explain", "Content buyers of regulars", "--conf", str(tmp_path)]) == 0
    account, contact = capsys.readouterr().out.split("audience contact")
    assert "orders > account" in account
    assert "tickets > contact > account" in account
    assert "tickets > contact " in contact


def test_every_block_is_an_example_that_runs() -> None:
    assert len(blocks("console")) == 8
    assert len(blocks("yaml")) == 9
    assert len(blocks("python")) == 1
