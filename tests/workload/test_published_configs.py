"""Parameters of public models against the count that was published; every config of aiconfigurator by name."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml

from mfu.workload.errors import UnsupportedConfig
from mfu.workload.huggingface import from_config, understand
from mfu.workload.parameters import count
from tools.config_coverage import TABLE as TABLE_OF_FILES
from tools.config_coverage import WITHIN, within_rounding

TABLE: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "published_configs.yaml").read_text(encoding="utf-8")
)
SAMENESS = yaml.safe_load((Path(__file__).parent / "aiconfigurator_models.yaml").read_text(encoding="utf-8"))


def expanded(value: Any) -> Any:
    """Lists written as {repeat, length} or {runs} at full length."""
    if isinstance(value, list):
        return [expanded(each) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"repeat", "length"}:
        return [value["repeat"][index % len(value["repeat"])] for index in range(value["length"])]
    if set(value) == {"runs"}:
        return [item for item, times in value["runs"] for _ in range(times)]
    return {key: expanded(each) for key, each in value.items()}


def config(name: str) -> dict[str, Any]:
    found: dict[str, Any] = expanded(TABLE[name]["config"])
    return found


def tolerance(published: str) -> float:
    """Half a per cent, or half of the last digit that was published."""
    digits = len(published.partition(".")[2])
    last = 10**-digits if digits else 10 ** (len(published) - len(published.rstrip("0")))
    return max(0.005 * float(published), 0.5 * last)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_parameters_are_the_published_ones(name: str) -> None:
    published = str(TABLE[name]["published_billion"])
    assert count(from_config(config(name))).total / 1e9 == pytest.approx(float(published), abs=tolerance(published))


def test_every_source_is_named() -> None:
    assert all(entry["source"] for entry in TABLE.values())


def test_at_least_76_of_the_86_are_covered() -> None:
    """Variants of one model differ in the weights' format only: their shape is the one that the table names."""
    covered = {name for name, shape in SAMENESS.items() if shape in TABLE}
    assert len(SAMENESS) == 86
    assert len(covered) >= 76


def test_the_files_themselves_were_read() -> None:
    """What `python -m tools.config_coverage` wrote of the 86 files, which are not ours to keep."""
    with TABLE_OF_FILES.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    read = [each for each in rows if not each["refused"]]
    assert {each["model"] for each in rows} == set(SAMENESS)
    assert len(read) >= 76
    assert [each["model"] for each in read if abs(float(each["off_by"])) > WITHIN and not within_rounding(each)] == []


@pytest.mark.parametrize(("key", "value"), [("attn_res_block_size", 12), ("routed_expert_hidden_size", 3584)])
def test_what_kimi_k3_adds_is_refused_by_name(key: str, value: int) -> None:
    linear = {"full_attn_layers": [4, 8], "head_dim": 128, "num_heads": 32, "short_conv_kernel_size": 4}
    described = {"model_type": "kimi_linear", "hidden_size": 7168, "num_hidden_layers": 8, "linear_attn_config": linear}
    assert understand(described).kind == "kimi_linear"
    with pytest.raises(UnsupportedConfig) as caught:
        from_config(described | {key: value})
    assert caught.value.why.field == key
