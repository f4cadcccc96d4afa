"""The guides say what the product does: their commands run, their manifests are accepted, every word is explained."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from mfu.agent import exposition
from mfu.api.acceptance import problems
from mfu.api.causes import Cause
from mfu.api.conditions import ConditionType, Reason
from mfu.api.files import parse
from mfu.api.mfupolicy import MFUPolicy, PolicySpec
from mfu.api.modelworkload import ModelWorkload
from mfu.api.policy_checks import policy_problems
from mfu.cli.main import main
from mfu.controller.metric_names import documented
from mfu.controller.metrics import OperatorMetrics
from mfu.decide.reasons import Why
from mfu.engine.evaluate import evaluate
from mfu.engine.saved import load
from mfu.engine.views import PolicyView
from mfu.observe.readings import SourceState

ROOT = Path(__file__).parents[2]
TENANT = (ROOT / "docs" / "guide-tenant.md").read_text()
PROVIDER = (ROOT / "docs" / "guide-provider.md").read_text()
TROUBLE = (ROOT / "docs" / "troubleshooting.md").read_text()
ACTIONS = (ROOT / "docs" / "guide-actions.md").read_text()
PAGES = {"tenant": TENANT, "provider": PROVIDER, "actions": ACTIONS, "troubleshooting": TROUBLE}
OURS = sorted({*(ROOT / "docs").glob("guide-*.md"), *(ROOT / "docs" / "designs").glob("*.md")})
OURS += [ROOT / "docs" / "README.md", ROOT / "docs" / "troubleshooting.md"]
NEEDS_A_CLUSTER = "# needs a cluster"


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> Iterator[str]:
    for block in blocks("console", text):
        for line in block.splitlines():
            if line.startswith("mfu ") and NEEDS_A_CLUSTER not in line:
                yield line.split("#")[0].strip()


def first_cells(text: str) -> set[str]:
    """Words in code quotes in the first column of every table."""
    rows = re.findall(r"^\| (`[^|]+?) \|", text, re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`(\w+)`", row)}


COMMANDS = [command for text in PAGES.values() for command in commands(text)]


@pytest.mark.parametrize("command", COMMANDS)
def test_command_runs(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert main(shlex.split(command)[1:]) == 0
    assert capsys.readouterr().out.strip()


def test_there_are_commands_to_run() -> None:
    assert {shlex.split(command)[1] for command in COMMANDS} >= {"predict", "plan", "init", "replay", "gpus", "presets"}


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", OURS, ids=lambda page: page.name)
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s:]*)(?:#([\w-]+))?\)", page.read_text()):
        aim = (page.parent / target).resolve() if target else page
        assert aim.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", aim.read_text(), re.MULTILINE)
            assert anchor in {slug(each) for each in headings}, f"{target}#{anchor}"


def manifests() -> Iterator[str]:
    for text in PAGES.values():
        yield from (block for block in blocks("yaml", text) if "apiVersion: mfu.gpuaas.io" in block)


@pytest.mark.parametrize("block", tuple(manifests()), ids=lambda block: re.findall(r"name: (\S+?)[,}]", block)[0])
def test_manifest_is_accepted(block: str) -> None:
    (resource,) = parse(block)
    assert isinstance(resource, ModelWorkload | MFUPolicy)
    found = problems(resource.spec) if isinstance(resource, ModelWorkload) else policy_problems(resource.spec)
    assert [each.message for each in found] == []


def test_values_are_values_of_the_chart() -> None:
    known = yaml.safe_load((ROOT / "charts" / "mfu-operator" / "values.yaml").read_text())
    given = [block for block in blocks("yaml", PROVIDER + ACTIONS) if block.startswith("# values.yaml")]
    assert len(given) >= 3
    for block in given:
        assert list(strangers(yaml.safe_load(block), known)) == []


def strangers(given: Mapping[str, Any], known: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name, value in given.items():
        if name not in known:
            yield f"{path}{name}"
        elif isinstance(value, Mapping):
            yield from strangers(value, known[name], f"{path}{name}.")


def test_every_value_that_is_named_exists() -> None:
    known = yaml.safe_load((ROOT / "charts" / "mfu-operator" / "values.yaml").read_text())
    named = re.findall(
        r"(?:--set |`)((?:config|agent|metrics|crds|rbac|image|gating|keeper)\.(?!json)[A-Za-z.]+)",
        "\n".join(PAGES.values()),
    )
    assert len(named) >= 8
    for path in named:
        node = known
        for step in path.split("."):
            assert step in node, path
            node = node[step]


def test_every_cause_is_explained_once() -> None:
    table = TENANT.split("### Causes")[1].split("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == sorted(Cause)


def test_every_reason_and_source_state_is_explained() -> None:
    explained = first_cells(TROUBLE)
    assert set(Reason) | set(SourceState) <= explained
    alerts = set(re.findall(r"alert: (\w+)", (ROOT / "charts/mfu-operator/templates/prometheusrule.yaml").read_text()))
    agents = {word for word in explained if word.startswith("mfu_agent_")}
    assert explained - set(Reason) - set(SourceState) - agents == alerts


def test_every_condition_is_explained() -> None:
    table = TENANT.split("## Conditions")[1].split("\n## ")[0]
    assert first_cells(table) == set(ConditionType)


def test_every_reason_of_a_decision_is_explained() -> None:
    table = TENANT.split("## Decisions")[1].split("\n## ")[0]
    assert first_cells(table) == set(Why)


def test_every_metric_that_is_named_exists() -> None:
    own = OperatorMetrics(lambda: None)
    exposed = {sample.name for family in own.registry.collect() for sample in family.samples}
    families = {family.name for family in own.registry.collect()}
    planned = {each.name for each in documented()}
    suffixed = {f"{name}{suffix}" for name in families for suffix in ("_total", "_sum")}
    agents = {value for value in vars(exposition).values() if isinstance(value, str) and value.startswith("mfu_")}
    known = exposed | families | planned | suffixed | agents
    named = set(re.findall(r"\bmfu_[a-z_]+[a-z]\b", "\n".join(PAGES.values())))
    assert len(named) >= 15
    assert named <= known


def test_measured_figures_are_those_of_the_committed_tables() -> None:
    """Within a quarter of a figure in the table that the row links to: a benchmark run anew scatters."""
    rows = re.findall(r"^\| [^|]+ \| ([^|]*\d[^|]*) \| \[\w+\]\(\.\./(benchmarks/\w+\.md)\)", PROVIDER, re.MULTILINE)
    assert len(rows) >= 4
    for text, table in rows:
        known = [float(each.replace(",", "")) for each in re.findall(r"\d[\d,]*\.?\d*", (ROOT / table).read_text())]
        for figure in re.findall(r"\d+(?:\.\d+)?", text):
            assert any(0.75 <= float(figure) / each <= 1.25 for each in known if each), f"{figure} in {table}"


def test_the_row_of_the_readme_is_what_its_workload_gets() -> None:
    """Within two points: the figures move when the model is fitted anew."""
    readme = (ROOT / "README.md").read_text()
    row = next(line.split() for line in readme.splitlines() if line.startswith("faulty-training "))
    shown = dict(zip(("expected", "observed", "attainable", "cause"), row[4:8], strict=True))
    snapshot, now = load((ROOT / "examples" / "snapshot.json").read_text())
    (plan,) = (each for each in evaluate(snapshot, now).workloads if each.name == "faulty-training")
    summary = plan.status.document()["summary"]
    assert shown["cause"] == summary["cause"]
    for name in ("expected", "observed", "attainable"):
        assert abs(float(shown[name].rstrip("%")) - float(summary[name].rstrip("%"))) <= 1.0, name
    (declared,) = parse(next(block for block in blocks("yaml", readme)))
    assert isinstance(declared, ModelWorkload)
    view = next(each for each in snapshot.workloads if each.name == "faulty-training")
    assert view.spec is not None
    assert view.spec.training is not None
    assert declared.spec.training == view.spec.training.model_copy(update={"total_tokens": None})


def test_a_policy_field_that_is_used_changes_something() -> None:
    assert said_under({"modes": {"admission": "Observe"}}) != said_under({})
    ladder = {"steps": [{"afterIdleMinutes": 60, "action": "Annotate"}]}
    assert said_under({"reclaim": ladder}) != said_under({})


def said_under(spec: Mapping[str, Any]) -> list[object]:
    """Statuses and annotations of the saved cluster under one policy."""
    snapshot, now = load((ROOT / "examples" / "snapshot.json").read_text())
    policy = PolicyView("tried", "uid", 1, PolicySpec.model_validate(spec))
    plan = evaluate(replace(snapshot, policies=(policy,)), now)
    return [(each.key, each.status.document(), dict(each.annotations)) for each in plan.workloads]
