"""What commands share: forms of output, narrow terminals, completion, names, and the role that is missing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from mfu.cli import main as entry
from mfu.cli import output
from mfu.cli.completion import SCRIPTS, candidates
from mfu.cli.errors import UsageError
from mfu.cli.listing import the_one
from mfu.cli.operator import Shown
from mfu.cli.report import print_workloads
from mfu.cli.roles import EDITOR, FLEET, READER, VIEWER, refusal
from mfu.cli.snapshot import seen
from mfu.cluster.client import ApiError
from mfu.engine.evaluate import evaluate
from mfu.engine.saved import load
from mfu.show.history import COLUMNS, history_rows
from mfu.show.workloads import Listed

ROOT = Path(__file__).parents[2]
SAVED = ROOT / "examples" / "snapshot.json"
Said = Callable[..., str]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Standard output of a command that works."""

    def call(*arguments: str) -> str:
        assert entry.main(arguments) == 0
        return capsys.readouterr().out

    return call


@pytest.fixture(scope="module")
def listed() -> tuple[Listed, ...]:
    plan = evaluate(*load(SAVED.read_text()))
    return tuple(Listed(each.namespace, each.name, "Training", each.status.read()) for each in plan.workloads)


@pytest.mark.parametrize(
    "arguments",
    [
        ("gpus",),
        ("presets",),
        ("read", "NVIDIA L4"),
        ("predict", "-f", "examples/dense-training.yaml"),
        ("replay", "examples/snapshot.json"),
        ("place", "team-llm/dense-training", "--snapshot", "examples/snapshot.json"),
    ],
)
def test_yaml_is_the_same_document_as_json(said: Said, arguments: Sequence[str], monkeypatch: Any) -> None:
    monkeypatch.chdir(ROOT)
    assert yaml.safe_load(said(*arguments, "-o", "yaml")) == json.loads(said(*arguments, "-o", "json"))


ROWS = (("team/a", "llama-3.1-8b", "8"), ("team/b", "", "16"))


def on_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))


def test_a_terminal_too_narrow_for_the_table_shows_records(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_terminal(monkeypatch, 20)
    output.print_table(("WORKLOAD", "MODEL", "GPUS"), ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["WORKLOAD team/a", "  MODEL   llama-3.1-8b", "  GPUS    8", "WORKLOAD team/b", "  GPUS    16"]


def test_a_wide_one_shows_the_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    on_terminal(monkeypatch, 80)
    output.print_table(("WORKLOAD", "MODEL", "GPUS"), ROWS)
    assert capsys.readouterr().out.startswith("WORKLOAD   MODEL")


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (["pred"], ["predict"]),
        (["predict", "--pro"], ["--product"]),
        (["predict", "-o", ""], ["json", "table", "yaml"]),
        (["ask", "s"], ["scaling", "serving"]),
        (["nothing", ""], []),
        (["init", "--mode", "inf"], ["inference"]),
    ],
)
def test_completion(typed: list[str], found: list[str]) -> None:
    assert candidates(typed) == found


@pytest.mark.parametrize("shell", sorted(SCRIPTS))
def test_a_script_for_each_shell(said: Said, shell: str) -> None:
    assert "mfu completion words" in said("completion", shell)
    assert said("completion", "words", "--", "gp") == "gpus\n"


def forbidden(verb: str, resource: str, group: str, namespace: str = "") -> ApiError:
    where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
    words = f'{resource} is forbidden: User "u" cannot {verb} resource "{resource}" in API group "{group}"{where}'
    return ApiError(403, "Forbidden", words, "GET /x")


@pytest.mark.parametrize(
    ("error", "role"),
    [
        (forbidden("get", "modelworkloads", "mfu.gpuaas.io", "team"), VIEWER),
        (forbidden("patch", "modelworkloads", "mfu.gpuaas.io", "team"), EDITOR),
        (forbidden("list", "modelworkloads", "mfu.gpuaas.io"), FLEET),
        (forbidden("get", "fleetreports", "mfu.gpuaas.io"), FLEET),
        (forbidden("list", "nodes", ""), READER),
        (forbidden("get", "deployments", "apps", "team"), "built-in view role"),
        (forbidden("patch", "pods", "", "team"), "built-in edit role"),
    ],
)
def test_a_refusal_names_the_role_of_the_chart(error: ApiError, role: str) -> None:
    sentence = refusal(error)
    assert sentence.startswith("you may not ")
    assert role in sentence


def test_the_roles_are_those_that_the_chart_makes() -> None:
    names = (ROOT / "charts" / "mfu-operator" / "templates").glob("rbac-*.yaml")
    lines = [line for path in names for line in path.read_text().splitlines() if "mfu.fullname" in line]
    made = {line.split("}}")[1].strip() for line in lines}
    assert {role.removeprefix("mfu-operator") for role in (VIEWER, EDITOR, FLEET, READER)} <= made


def test_a_bare_name_is_enough_where_one_is_called_so(listed: tuple[Listed, ...]) -> None:
    args = argparse.Namespace(snapshot=SAVED, namespace=None)
    assert the_one(listed, args, "moe-training").key == "team-llm/moe-training"
    assert the_one(listed, args, "team-llm/moe-training").key == "team-llm/moe-training"
    with pytest.raises(UsageError, match="there are team-chat/"):
        the_one(listed, args, "nobody")


def test_workloads_by_loss(listed: tuple[Listed, ...], capsys: pytest.CaptureFixture[str]) -> None:
    print_workloads(listed, 2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("team-vision/faulty-training")
    assert lines[-1] == "4 more: --top 6"


def test_a_file_says_whether_anything_was_measured() -> None:
    snapshot, _ = load(SAVED.read_text())
    assert "readings of" in seen(snapshot)
    document = json.loads(SAVED.read_text())
    document["fleet"] = load_nothing()
    document["series"] = {}
    assert "no reading at all" in seen(load(json.dumps(document))[0])


def load_nothing() -> Any:
    """The readings of a snapshot that has none, as they are saved."""
    from mfu.engine.saved import dump
    from mfu.engine.snapshot import Snapshot

    return json.loads(dump(Snapshot(), 0.0))["fleet"]


def test_a_dry_run_prints_what_would_be_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    plan, shown = evaluate(*load(SAVED.read_text())), Shown()
    shown.look(plan)
    first = capsys.readouterr().out
    assert "Fleet MFU" in first
    assert first.index("faulty-training") < first.index("moe-training")
    shown.look(plan)
    assert capsys.readouterr().out == ""


def test_a_program_that_is_interrupted_while_it_loads_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Sequence[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "main", interrupted)
    with pytest.raises(SystemExit) as ended:
        entry.run()
    assert ended.value.code == entry.INTERRUPTED


def test_history_is_a_row_a_setting(listed: tuple[Listed, ...]) -> None:
    rows = [row for each in listed for row in history_rows(each.status)]
    assert all(len(row) == len(COLUMNS) for row in rows)


def test_of_all_products_what_fits_and_is_fastest_comes_first(said: Said, tmp_path: Path) -> None:
    document = yaml.safe_load((ROOT / "examples" / "dense-training.yaml").read_text())
    del document["spec"]["accelerators"]["products"]
    path = tmp_path / "any.yaml"
    path.write_text(yaml.safe_dump(document))
    lines = said("predict", "-f", str(path)).splitlines()
    at = lines[1].index("TOKENS/S/GPU") + len("TOKENS/S/GPU")
    rates = [float(line[:at].split()[-1].replace(",", "")) for line in lines[2 : lines.index("")] if " yes " in line]
    assert rates == sorted(rates, reverse=True)
    assert len(rates) > 5
    assert not [line for line in lines[2:20] if " no: " in line]
    (left_out,) = (line for line in lines if line.startswith("does not fit on"))
    assert "L4" in left_out


def test_what_does_not_fit_shows_no_expected_number(said: Said) -> None:
    out = said("predict", "-f", str(ROOT / "examples" / "dense-training.yaml"), "--product", "L4")
    row = next(line for line in out.splitlines() if line.startswith("L4"))
    assert "no: activations" in row
    assert "%" not in row


def test_plan_says_where_it_looked(said: Said) -> None:
    out = said("plan", "-f", str(ROOT / "examples" / "dense-training.yaml"))
    assert "settings of 8 × H100-SXM5 BF16 in " in out
    assert "most tokens per second first" in out
    assert "the first against today: " in out
