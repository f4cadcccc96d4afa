"""The image's files, made by the Dockerfile's own steps in an empty root, and run there as the kubelet would."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import mfu
from tools.image_root import Image, build, steps, wheels

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
LARGEST_BYTES = 200e6
RUNS = {
    "--version": "mfu",
    "operator --help": "--config",
    "agent --help": "--node",
    "release --help": "--expired",
    "gpus": "H100-SXM5",
    "presets": "llama-3.1-8b",
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("root")
    yield build(folder, wheels())


@pytest.mark.parametrize("command", RUNS)
def test_every_program_runs_as_nobody_in_a_root_that_nobody_can_write(image: Image, command: str) -> None:
    done = image.run(command.split())
    assert done.returncode == 0, done.stderr
    assert RUNS[command] in done.stdout


def test_the_plugin_is_there(image: Image) -> None:
    done = replace(image, entrypoint=["kubectl-mfu"]).run(["--version"])
    assert done.stdout.strip() == f"mfu {mfu.__version__}"


def test_the_root_can_not_be_written_and_the_user_is_nobody(image: Image) -> None:
    words = "import os; print(os.getuid(), os.getgid()); open('/opt/mfu/x', 'w')"
    done = replace(image, entrypoint=["/opt/mfu/bin/python"]).run(["-c", words])
    assert done.stdout.split() == ["65532", "65532"]
    assert "Read-only file system" in done.stderr


def test_its_bill_of_materials_is_the_lock(image: Image) -> None:
    bill = json.loads((image.root / "opt/mfu/sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["metadata"]["component"]["version"]) == ("CycloneDX", mfu.__version__)
    parts = {f"{each['name']}=={each['version']}": each for each in bill["components"] if each["type"] == "library"}
    locked = re.findall(r"^([A-Za-z0-9_.-]+==[^\s;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert set(parts) == {each.lower().replace("_", "-") for each in locked}
    assert [name for name, each in parts.items() if "licenses" not in each] == []


def test_it_is_small_enough_to_pull(image: Image) -> None:
    assert image.packed_bytes(quickly=True) < LARGEST_BYTES


def test_a_word_that_is_not_read_is_not_passed_over() -> None:
    assert list(steps("# a\nUSER 1:1\nRUN a \\\n  && b\n")) == [("USER", "1:1"), ("RUN", "a    && b")]
