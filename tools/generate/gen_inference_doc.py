"""Write the generated parts of docs/performance-model-inference.md: constants, stacks, doubts.

python -m tools.generate.gen_inference_doc          # after tools.fit.inference --write
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mfu.hardware.catalog import load as catalog
from mfu.hardware.types import GPU, Device, Precision
from mfu.predict.inference import Speculation, concurrency_at_rate, predict_inference
from mfu.predict.inference.build import case_of
from mfu.predict.inference.capacity import batch_that_fits, kv_bytes_per_request, weight_bytes_per_gpu, workspace_bytes
from mfu.predict.inference.case import ServingCase
from mfu.predict.inference.constants import document, load
from mfu.predict.inference.kernels import ServingStep, StepTime, step_time
from mfu.predict.inference.serving import continuous
from mfu.predict.types import Inference, Parallelism, Phase, Placement, Precisions, Prediction
from mfu.workload.presets import preset

C = load()
DOC = Path(__file__).resolve().parents[2] / "docs" / "performance-model-inference.md"


def constants(text: dict[str, Any]) -> str:
    """The table of constants, each with its prior and where that comes from."""
    head = "| constant | value | meaning | prior | source of the prior |\n|---|---|---|---|---|\n"
    return head + "".join(_constant(name, each) for name, each in text["numbers"].items())


def _constant(name: str, each: dict[str, Any]) -> str:
    prior = f"{each['prior']:g} ± {each['spread']:g}" if "prior" in each else "-"
    return f"| `{name}` | {each['value']:.4g} {each['unit']} | {each['meaning']} | {prior} | {each['source']} |\n"


def stacks(text: dict[str, Any]) -> str:
    """The tables of engines and products."""
    engines = "".join(
        f"| `{name}` | {each['speed']:.3f} | {each['host']:.2f} | {each['doubt']:.3f} |\n"
        for name, each in text["engines"].items()
    )
    products = ", ".join(f"{name} {each['speed']:.3f} ± {each['doubt']:.3f}" for name, each in text["products"].items())
    doubt = ", ".join(f"{name} {value:.3g}" for name, value in text["doubt"].items())
    return (
        f"| engine | speed | host time | doubt (log) |\n|---|---|---|---|\n{engines}\n"
        f"Products: {products}.\n\nDoubts (standard deviations of the logarithm): {doubt}.\n\n{_bands(text)}"
    )


def _bands(text: dict[str, Any]) -> str:
    """How far the band reaches by what is known, and how fast strangers are."""
    head = "| engine and product | band reaches to the slower side | to the faster side |\n|---|---|---|\n"
    rows = "".join(f"| {name} | {slower:.2f} | {faster:.2f} |\n" for name, (slower, faster) in text["reach"].items())
    speeds = ", ".join(f"{name} {value:.3f}" for name, value in text["strangers"].items())
    return f"{head}{rows}\nin standard deviations. Speed where nobody measured it: {speeds}.\n"


def written(page: str) -> str:
    """The page with its generated parts renewed."""
    text = document()
    for name, part in (("constants", constants(text)), ("stacks", stacks(text))):
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page = mark.sub(lambda found, part=part: f"{found[1]}{part}{found[2]}", page)  # type: ignore[misc]
    numbers = worked()
    return re.sub(
        r"^\| (W\d+) \|(.*)\| [\d.,]+ ([^|]*)\|$",
        lambda found: f"| {found[1]} |{found[2]}| {numbers[found[1]]:.4g} {found[3]}|",
        page,
        flags=re.MULTILINE,
    )


def worked() -> dict[str, float]:
    """Every worked number, from the shipped constants: Llama-3.1-8B, 32 requests of 2,048 and 256 tokens, one H100."""
    llama = _case(serving(), on())
    decode = step_time(llama, ServingStep(32.0, 2176.0), C)
    prompt = step_time(llama, ServingStep(0.0, 0.0, 2048.0, 1024.0, 1.0), C)
    return {**_step(decode, prompt), **_others(), **_serving(llama)}


def serving(model: str = "llama-3.1-8b", *, weights: str = "BF16", **cut: int) -> Inference:
    """32 requests of 2,048 and 256 tokens on vLLM."""
    narrow = Precision(weights)
    cache = Precision.BF16 if narrow is Precision.BF16 else Precision.FP8
    return Inference(
        architecture=preset(model),
        precisions=Precisions(narrow, narrow, cache),
        phase=Phase.MIXED,
        input_tokens=2048.0,
        output_tokens=256.0,
        concurrency=32.0,
        parallelism=Parallelism(**cut),
        engine="vLLM",
    )


def on(product: str = "H100-SXM5", gpus: int = 1) -> Placement:
    gpu = catalog().by_api_name(product)
    assert isinstance(gpu, GPU), gpu
    return Placement(Device(gpu), gpus)


def _case(setup: Inference, placement: Placement) -> ServingCase:
    case = case_of(setup, placement, C)
    assert isinstance(case, ServingCase), case
    return case


def _step(decode: StepTime, prompt: StepTime) -> dict[str, Any]:
    return {
        "W1": decode.weight_bytes / 1e9,
        "W2": (decode.matrix_compute + decode.weight_reads) * 1e3,
        "W3": prompt.matrix_compute * 1e3,
        "W5": decode.cache_bytes / 1e9,
        "W6": decode.decode_attention * 1e3,
        "W7": prompt.prefill_attention * 1e3,
        "W8": decode.activations * 1e3,
        "W9": decode.launch * 1e3,
        "W13": decode.host * 1e3,
        "W14": decode.total * 1e3,
    }


def _others() -> dict[str, Any]:
    mixtral = _case(serving("mixtral-8x7b", tensor=2), on(gpus=2))
    expert = 32 * 3 * 4096 * 14336 / 2 * 2
    few, one = (step_time(mixtral, ServingStep(each, 0.0), C).weight_bytes for each in (4.0, 1.0))
    wide = _case(serving("llama-3.1-70b", tensor=4), on(gpus=4))
    groups = _case(serving("deepseek-r1", weights="FP8", data=8, expert=8), on("H200-SXM", 8))
    piped = _case(serving("llama-3.1-70b", tensor=2, pipeline=4), on(gpus=8))
    return {
        "W4": (few - one) / expert + 2.0,
        "W10": step_time(wide, ServingStep(64.0, 1000.0), C).tensor_communication * 1e3,
        "W11": step_time(groups, ServingStep(64.0, 1000.0), C).expert_communication * 1e3,
        "W12": float(continuous(piped, C).step.bubble) * 1e3,
    }


def _serving(llama: ServingCase) -> dict[str, float]:
    served = continuous(llama, C)
    found, rate = predict_inference(serving(), on()), concurrency_at_rate(serving(), on(), 5.0)
    assert isinstance(found, Prediction) and isinstance(rate, float)
    return {
        "W15": float(weight_bytes_per_gpu(llama)) / 1e9,
        "W16": float(workspace_bytes(llama, C)) / 1e9,
        "W17": float(kv_bytes_per_request(llama, 2304.0)) / 1e6,
        "W18": float(batch_that_fits(llama, C)),
        "W19": float(served.tpot_seconds) * 1e3,
        "W20": float(served.ttft_seconds) * 1e3,
        "W21": float(served.output_tokens_per_s),
        "W22": Speculation(3, 0.7).accepted,
        "W23": rate,
        "W24": found.mfu * 100,
        "W25": (found.mbu or 0.0) * 100,
    }


def main() -> int:
    DOC.write_text(written(DOC.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
