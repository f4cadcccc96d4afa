"""Engine names, and the fit that gives each its one factor."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from mfu.predict.inference.constants import UNSTATED, document, engine_key, load
from tools.fit.inference import errors, fit, read, space_of

HEADER = (
    "id,source,model,params_b,active_params_b,layers,hidden,heads,kv_heads,head_dim,ffn,vocab,gpu,tp,pp,ep,"
    "weight_precision,kv_precision,isl,osl,concurrency_or_batch,metric,value,notes"
)
LLAMA = "Llama-3.1-8B,8.03,8.03,32,4096,32,8,128,14336,128256,H100-SXM-80GB,1,1,1"


@pytest.mark.parametrize(
    "name,key",
    [
        ("TensorRT-LLM", "tensorrtllm"),
        ("trtllm-serve", "tensorrtllm"),
        ("vLLM", "vllm"),
        ("SGLang", "sglang"),
        ("LMDeploy", "lmdeploy"),
        (None, ""),
    ],
)
def test_spellings_of_engines(name: str | None, key: str) -> None:
    assert engine_key(name) == key


def test_each_engine_has_one_factor() -> None:
    constants = load()
    assert constants.engine_factor("TensorRT-LLM") == 1.0
    assert constants.engine_factor(None) == constants.engines[UNSTATED]
    known = [value for name, value in constants.engines.items() if name != UNSTATED]
    assert constants.engine_factor("never seen") == pytest.approx(math.exp(float(np.mean(np.log(known)))))
    assert all(0.5 < value <= 1.3 for value in constants.engines.values())


def test_no_constant_left_its_bounds() -> None:
    for name, each in document()["numbers"].items():
        assert 0 < each["value"] <= each.get("most", math.inf), name


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """24 rows, every value 1 second: the test overwrites them with what the fit has to find again."""
    rows = [
        f"X-{batch},{engine},{LLAMA},{precision},{precision},{inputs},{outputs},{batch},e2e_latency_ms,1000,"
        for engine, precision in (("vllm", "fp16"), ("sglang", "fp8"))
        for batch in (1, 8, 64, 256)
        for inputs, outputs in ((128, 128), (2048, 128), (128, 1024))
    ]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return path


def test_the_fit_finds_what_made_the_rows(table: Path) -> None:
    data, space = read(table), space_of(document(), ["vllm", "sglang"])
    truth = space.prior.copy()
    truth[space.names.index("weight_stream")] += math.log(0.7)
    truth[len(space.names)] += math.log(0.8)
    data.measured[:] = data.predicted(space.constants(truth))
    everything = np.ones(len(data.rows), dtype=bool)
    before = np.abs(errors(data, space.constants(space.prior))).mean()
    found = fit(data, space, everything, space.prior, 4)
    assert np.abs(errors(data, space.constants(found))).mean() < 0.25 * before
