"""docs/performance-model.md: generated parts are fresh, and its worked numbers come out of arithmetic by hand."""

from __future__ import annotations

import math
import re

import pytest

from mfu.predict.names import StepTerm
from mfu.predict.training.constants import TrainingConstants, document, shipped
from tools.generate.performance_doc import DOC, worked, written

PEAK, LINK, NETWORK, BANDWIDTH = 989.4e12, 450e9, 50e9, 3.35e12
TOKENS, LAYERS, HIDDEN, FFN, QKV, VOCABULARY = 8192.0, 32.0, 4096.0, 14336.0, 6144.0, 128256.0
PARAMETERS = 8_030_261_248.0
EXACT = 1e-6


def stated() -> dict[str, float]:
    """The numbers that the document states."""
    rows = re.findall(r"^\| (T\d+) \|[^|]*\| ([\d.,e+-]+) ", DOC.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: float(amount.replace(",", "")) for name, amount in rows}


@pytest.fixture(scope="module")
def computed() -> dict[str, float]:
    return {name: each.value for name, each in worked().items()}


def test_the_document_states_what_the_code_computes(computed: dict[str, float]) -> None:
    assert stated() == pytest.approx(computed, rel=0.001)


def test_generated_parts_are_fresh() -> None:
    text = DOC.read_text(encoding="utf-8")
    assert written(text) == text, "run: python -m tools.generate.performance_doc"


def test_every_loss_is_in_the_document() -> None:
    text = DOC.read_text(encoding="utf-8")
    unnamed = [term.value for term in StepTerm if f"| {term.value} |" not in text]
    assert unnamed == []


def test_every_constant_says_where_it_is_from() -> None:
    for name, entry in document().items():
        assert entry["unit"] and entry["meaning"] and entry["source"], name
        assert isinstance(entry["fitted"], bool), name


def kernels(c: TrainingConstants) -> dict[str, float]:
    ideal = 2 * TOKENS * HIDDEN * 2 * FFN / PEAK
    ceiled = ideal / (c_ceiling(c))
    tail = 1 + c["tail"] * 132 * 128 * 128 / (TOKENS * 2 * FFN)
    attention = 2 * 2 * TOKENS * TOKENS / 2 * HIDDEN * LAYERS / PEAK
    shape = (1 + c["half_sequence"] / TOKENS) * (1 + c["half_head"] / 128)
    streamed = BANDWIDTH * c["bandwidth_share"]
    values = LAYERS * (c["hidden_traffic"] * HIDDEN + c["narrow_traffic"] * (2 * QKV + 3 * FFN)) * c["fused_traffic"]
    head_ceiled = 3 * 2 * TOKENS * VOCABULARY * HIDDEN / PEAK / c_ceiling(c)
    head_shape = (1 + c["depth"] / HIDDEN) * (1 + c["tail"] * 132 * 128 * 128 / (TOKENS * VOCABULARY))
    loss = c["logit_traffic"] * 4 * TOKENS * VOCABULARY / streamed
    return {
        "T1": 1e3 * ideal,
        "T2": 1e3 * ceiled,
        "T3": 1e3 * ceiled * (1 + c["depth"] / HIDDEN) * tail,
        "T4": c.of("sustained", "blackwell") * ((1400 / 2500) / (1200 / 2500)) ** c["power_share"],
        "T31": ((750 - 1000 * c["power_idle"]) / (1000 - 1000 * c["power_idle"]))
        ** (1 / c.of("power_exponent", "blackwell")),
        "T5": 1e3 * attention,
        "T6": 1e3 * attention / c.of("attention", "hopper") * shape,
        "T8": 1e3 * 2 * TOKENS * values / streamed,
        "T9": 1e3 * (head_ceiled * head_shape + loss),
    }


def c_ceiling(c: TrainingConstants) -> float:
    from mfu.hardware.catalog import load
    from mfu.hardware.types import Precision

    measured = load().ceiling("h100-sxm5-80gb", Precision.BF16)
    assert measured is not None
    return measured.fraction * c.of("sustained", "hopper")


def communication(c: TrainingConstants) -> dict[str, float]:
    inside = c["link_latency"] * (1 + 7 * c["hop_share"])
    link, adapter = LINK * c["link_share"], NETWORK * c["network_share"]
    ring = min(link, adapter * 8)
    reached = 4 * (1 - (3 / 4) ** 8) * 3 / 4
    exchange = max(64e6 * 31 * (1 - (31 / 32) ** 8) / link, 64e6 * reached / adapter)
    one_way = 4 * LAYERS * (2 * TOKENS * HIDDEN * 7 / 8 / link + inside)
    return {
        "T11": 1e3 * (7 / 8 * 1e9 / link + inside),
        "T12": 1e3 * (15 / 16 * 1e9 / ring + inside + 2 * c["network_latency"]),
        "T13": 1e3 * (exchange + c["link_latency"] + 3 * c["network_latency"]),
        "T14": 1e3 * 2 * one_way * (1 - c["tensor_hidden"]),
    }


def memory(c: TrainingConstants) -> dict[str, float]:
    kept = c["activation_hidden"] * HIDDEN + QKV + HIDDEN + 3 * FFN
    states = PARAMETERS * 12 / 8
    moved = PARAMETERS / 8 * (2 * 12 + 2 + 2)
    terms = [2 * PARAMETERS, 2 * PARAMETERS, states, LAYERS * 2 * TOKENS * kept]
    terms += [TOKENS * VOCABULARY * c["logit_bytes"], c["buffer_bytes"]]
    return {
        "T19": 1e3 * (c["optimizer_passes"] * moved / (BANDWIDTH * c["bandwidth_share"]) + c["optimizer_fixed"]),
        "T20": 1e3 * 1.3 * 100 * c["host_operation"] * LAYERS,
        "T21": 2 * PARAMETERS / 2**30,
        "T22": 2 * PARAMETERS / 2**30,
        "T23": states / 2**30,
        "T24": 2 * TOKENS * kept / 2**20,
        "T25": TOKENS * VOCABULARY * c["logit_bytes"] / 2**30,
        "T26": (sum(terms) * (1 + c["fragmentation"]) + c["framework_bytes"]) / 2**30,
    }


@pytest.mark.parametrize("part", [kernels, communication, memory])
def test_worked_numbers_by_hand(part: object, computed: dict[str, float]) -> None:
    assert callable(part)
    by_hand: dict[str, float] = part(shipped())
    assert {name: computed[name] for name in by_hand} == pytest.approx(by_hand, rel=EXACT)


def test_layers_cut_at_equal_cost(computed: dict[str, float]) -> None:
    assert computed["T18"] == math.floor((32 + 3.6) / 2) + 1


def test_whole_predictions_are_near_the_published_rates(computed: dict[str, float]) -> None:
    for name, published in {"T27": 1107.0, "T28": 10256.0, "T30": 13841.0}.items():
        assert computed[name] == pytest.approx(published, rel=0.1), name
    assert computed["T29"] < computed["T28"]
