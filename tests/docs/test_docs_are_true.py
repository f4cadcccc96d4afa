"""What the documentation shows is run: commands of the README, links, and the picture."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from mfu.api.modelworkload import ModelWorkload
from mfu.cli.main import main
from tools.generate import gen_picture, gen_readme

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = re.findall(r"^(mfu [^#\n]+)", README, re.MULTILINE)
SHOWN = [found[1] for found in gen_readme.SHOWN.finditer(README)]
LINK = re.compile(r"\]\(([^)#\s]+)")


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_command(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert main(shlex.split(command)[1:]) == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("shown", SHOWN)
def test_what_the_readme_shows_is_what_is_printed(shown: str) -> None:
    (block,) = (found[0] for found in gen_readme.SHOWN.finditer(README) if found[1] == shown)
    assert gen_readme.render(block) == block, "run: python -m tools.generate.gen_readme"


def test_the_readme_has_commands_to_run() -> None:
    assert len(COMMANDS) >= 4


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in targets if not (page.parent / link).exists()] == []


def test_the_ten_line_workload_is_accepted() -> None:
    block = next(text for text in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL))
    assert len(block.strip().splitlines()) <= 10
    assert ModelWorkload.model_validate(yaml.safe_load(block)).spec.accelerators.count == 8


def test_the_row_that_comes_back_is_the_one_of_the_snapshot(capsys: pytest.CaptureFixture[str]) -> None:
    """kubectl adds the age, and leaves out the scale that `mfu replay` prints."""
    row = re.search(r"^faulty-training .*$", README, re.MULTILINE)
    assert row is not None
    assert main(["replay", str(ROOT / "examples" / "snapshot.json")]) == 0
    (printed,) = (line for line in capsys.readouterr().out.splitlines() if " faulty-training " in line)
    assert row[0].split()[:-1] == [word for word in printed.split()[1:] if word != "MFU"]


def test_the_picture_is_drawn_from_the_snapshot() -> None:
    assert gen_picture.TARGET.read_text() == gen_picture.draw(gen_picture.status_of(gen_picture.WORKLOAD))


def test_make_help_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text()
    documented = set(re.findall(r"^([a-z0-9-]+):.*##", text, re.MULTILINE))
    declared = set(" ".join(re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)).split())
    assert documented == declared
    assert len(documented) <= 20
