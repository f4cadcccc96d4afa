"""Every command: its help, its exit codes, and what it says to bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mfu.api.files import parse
from mfu.cli.commands import COMMANDS
from mfu.cli.main import main
from mfu.engine.saved import dump
from tests.builders.scenes import NOW, three

ROOT = Path(__file__).parents[2]
SAVED = ROOT / "examples" / "snapshot.json"
CONFIGS = ROOT / "tests" / "workload" / "configs"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, standard output and standard error of a command line."""

    def call(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.mark.parametrize("command", [name for name, _ in COMMANDS])
def test_every_command_explains_itself(run: Run, command: str) -> None:
    code, out, err = run(command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: mfu {command}")
    assert len(out.splitlines()) > 5


def test_the_whole_explains_itself(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert [name for name, text in COMMANDS if name not in out or text.split()[0] not in out] == []


def test_without_a_command_the_help_is_printed(run: Run) -> None:
    code, out, err = run()
    assert code == 2
    assert "replay" in out + err
    assert "usage: mfu" in out + err


@pytest.mark.parametrize(("typed", "meant"), [("repaly", "replay"), ("gpu", "gpus"), ("xplain", "explain")])
def test_an_unknown_command_names_the_nearest(run: Run, typed: str, meant: str) -> None:
    code, _, err = run(typed)
    assert code == 2
    assert f"did you mean {meant}?" in err


def test_an_unknown_command_that_is_near_nothing(run: Run) -> None:
    code, _, err = run("zzzzzz")
    assert code == 2
    assert "mfu --help" in err


@pytest.mark.parametrize(
    ("typed", "advice"),
    [
        ("--gpus", "did you mean --gpus-per-node?"),
        ("--produkt", "did you mean --product?"),
        ("x", "mfu predict --help"),
    ],
)
def test_an_argument_that_is_not_there_is_never_taken_for_another(run: Run, typed: str, advice: str) -> None:
    """By a part of its name `--gpus 8` would set the GPUs of a node without a word."""
    code, out, err = run("predict", "-f", str(ROOT / "examples" / "dense-training.yaml"), typed, "8")
    assert (code, out) == (2, "")
    assert repr(typed) in err
    assert advice in err


def test_version(run: Run) -> None:
    code, out, _ = run("--version")
    assert code == 0
    assert out.startswith("mfu 0.")


BAD: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "a snapshot that is not there": (("replay", "nowhere.json"), ["nowhere.json", "No such file"]),
    "no snapshot": (("replay", str(ROOT / "LICENSE")), ["LICENSE", "is no JSON"]),
    "a workload that the snapshot lacks": (
        ("replay", str(SAVED), "--explain", "a/b"),
        ["--explain a/b", "it has", "team-vision/faulty-training"],
    ),
    "a config that is not there": (("init", "--from-config", "nowhere.json"), ["--from-config nowhere.json"]),
    "a config that is no JSON": (("init", "--from-config", str(ROOT / "LICENSE")), ["--from-config", "is no JSON"]),
    "a kubeconfig that is not there": (
        ("report", "--kubeconfig", "nowhere.yaml"),
        ["kubeconfig nowhere.yaml does not exist"],
    ),
    "an operator configuration that is not there": (
        ("operator", "--config", "nowhere.yaml"),
        ["nowhere.yaml: can not be read"],
    ),
    "a missing argument": (("explain",), ["name"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_exits_2_and_names_it(run: Run, case: str) -> None:
    arguments, words = BAD[case]
    code, out, err = run(*arguments)
    assert code == 2
    assert [word for word in words if word not in err] == []
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    "arguments",
    [("gpus", "-o", "json"), ("presets", "-o", "json"), ("replay", str(SAVED), "-o", "json")],
    ids=lambda arguments: arguments[0],
)
def test_json_is_json(run: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert json.loads(out)


def test_replay_shows_the_table_of_kubectl(run: Run) -> None:
    code, out, _ = run("replay", str(SAVED))
    assert code == 0
    head, *rows = out.splitlines()
    assert head.split()[:4] == ["NAMESPACE", "NAME", "MODE", "MODEL"]
    faulty = next(row for row in rows if "faulty-training" in row)
    assert "Communication" in faulty


def test_replay_explains_one(run: Run) -> None:
    code, out, _ = run("replay", str(SAVED), "--explain", "team-vision/faulty-training")
    assert code == 0
    for words in ("From peak to observed", "= expected MFU", "Where the rest went", "Decisions"):
        assert words in out


def test_json_of_replay_has_every_workload_and_the_fleet(run: Run) -> None:
    document = json.loads(run("replay", str(SAVED), "-o", "json")[1])
    assert len(document["workloads"]) == 6
    assert all(each["status"]["summary"]["expected"].endswith("%") for each in document["workloads"])
    assert float(document["fleet"]["totals"]["gpus"]) > 0


def test_a_slice_counts_as_its_share(run: Run) -> None:
    document = json.loads(run("replay", str(SAVED), "-o", "json")[1])
    shares = [float(each["allocatedGPUs"]) for each in document["fleet"]["namespaces"]]
    assert all(share > 0 for share in shares)
    assert any(0 < share < 1 or share % 1 for share in shares), shares


def test_gpus_have_their_names_and_profiles(run: Run) -> None:
    known: list[dict[str, Any]] = json.loads(run("gpus", "-o", "json")[1])
    h100 = next(each for each in known if each["product"] == "H100-SXM5")
    assert "1g.10gb" in h100["migProfiles"]
    assert h100["peakFLOPsPerSecond"]["BF16"] == pytest.approx(989.4e12, rel=0.01)
    assert "H100-SXM5" in run("gpus")[1]


def test_presets_have_their_parameters(run: Run) -> None:
    known = {each["preset"]: each for each in json.loads(run("presets", "-o", "json")[1])}
    assert known["llama-3.1-8b"]["parameters"] == 8_030_261_248
    assert len(known) >= 25
    assert "llama-3.1-8b" in run("presets")[1]


@pytest.mark.parametrize("config", sorted(CONFIGS.glob("*.json")), ids=lambda path: path.stem)
def test_init_writes_a_workload_that_is_accepted(run: Run, config: Path) -> None:
    code, out, err = run("init", "--from-config", str(config), "--name", "mine")
    assert (code, err) == (0, "")
    document = yaml.safe_load(out)
    assert document["metadata"]["name"] == "mine"
    assert parse(out)


def test_replay_shows_what_could_be_done_and_why_it_is_not(run: Run, tmp_path: Path) -> None:
    """Two jobs wait for one free node: one has a place, and an action for it that is only a dry run."""
    saved = tmp_path / "waiting.json"
    saved.write_text(dump(three(8), NOW))
    code, out, _ = run("replay", str(saved), "-o", "json")
    (action,) = json.loads(out)["actions"]
    assert code == 0
    assert (action["workload"], action["type"], action["dryRun"]) == ("team-a/a", "PreferredAffinity", True)
    assert (action["words"], action["reason"]) == ("let the pods prefer node n0", "NotEnforced")
    _, out, _ = run("replay", str(saved), "--actions")
    assert "let the pods prefer node n0" in out
    assert "no: modes.placement is Recommend, not Enforce" in " ".join(out.split())
