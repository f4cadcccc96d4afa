"""The pages on configuration and metrics: complete, in the words of the file, and found stale when they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from pydantic import BaseModel

from mfu.agent.exposition import DeviceLine, render
from mfu.agent.inventory import AgentGPU
from mfu.controller.config import OperatorConfig, parse
from mfu.controller.metrics import OperatorMetrics
from mfu.engine.evaluate import evaluate
from mfu.engine.saved import load
from mfu.observe.metric import Metric
from tools.generate import gen_configuration_doc, gen_metrics_doc

ROOT = Path(__file__).parents[2]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
METRICS = (ROOT / "docs" / "metrics.md").read_text()
ROWS = dict(re.findall(r"^\| `(mfu_\w+)` \| (\w+) \|", METRICS, re.MULTILINE))


def paths(section: BaseModel, before: str = "") -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        value, path = getattr(section, name), f"{before}{field.alias}"
        yield from paths(value, f"{path}.") if isinstance(value, BaseModel) else [path]


def test_every_field_has_its_row() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \|", CONFIGURATION, re.MULTILINE)
    assert sorted(rows) == sorted(paths(OperatorConfig()))


def test_examples_are_read() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", CONFIGURATION, re.DOTALL)
    assert len(examples) == 2
    read = [parse(yaml.safe_load(text), "example") for text in examples]
    assert read[-1] == OperatorConfig()
    assert read[-1].model_fields_set == set(OperatorConfig.model_fields), "the complete file names every section"


def test_fields_are_spelt_as_in_the_file() -> None:
    assert re.findall(r"`[a-z]+_[a-z_]+`", CONFIGURATION) == []


def test_everything_that_the_operator_serves_is_listed() -> None:
    plan = evaluate(*load((ROOT / "examples" / "snapshot.json").read_text()))
    served = {family.name: family.type for family in OperatorMetrics(lambda: plan).registry.collect()}
    assert len(served) > 40
    assert {name: ROWS.get(name) for name in served} == served


def test_everything_that_the_agent_serves_is_listed() -> None:
    own = dict.fromkeys((name for name in ROWS if name.startswith("mfu_agent_")), 1.0)
    line = DeviceLine(
        AgentGPU(0, "GPU-0", "NVIDIA H100", "H100-SXM5"), None, 1.0, dict.fromkeys(Metric, 1.0), healthy=True
    )
    page = render("node", [line], own).decode()
    served = dict(re.findall(r"^# TYPE (\w+) (\w+)$", page, re.MULTILINE))
    listed = {name: kind for name, kind in ROWS.items() if name.startswith(("mfu_agent_", "mfu_gpu_"))}
    assert listed == served


@pytest.mark.parametrize("generator", [gen_configuration_doc, gen_metrics_doc], ids=lambda module: module.__name__)
def test_a_stale_page_is_found(generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert generator.main(["--check"]) == 0
    monkeypatch.setattr(generator, "TARGET", tmp_path / "page.md")
    assert generator.main(["--check"]) == 1
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0
