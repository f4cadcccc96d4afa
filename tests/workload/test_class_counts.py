"""Parameters as transformers' own classes hold them, with the defaults of the class and with one key changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mfu.workload.errors import UnsupportedConfig, WorkloadError
from mfu.workload.huggingface import from_config
from mfu.workload.huggingface.kinds import BUILDERS
from mfu.workload.parameters import count

TABLE: dict[str, dict[str, Any]] = yaml.load(
    (Path(__file__).parent / "class_counts.yaml").read_text(encoding="utf-8"),
    Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader),
)
COVERED = sorted(set(TABLE) & set(BUILDERS))
WITHIN = 0.005

OTHERWISE: dict[str, str] = {
    "distilbert": "its class adds the head of masked language modeling",
    "electra": "its class adds the head of masked language modeling",
    "modernbert": "its class adds the head of masked language modeling",
    "phi4_multimodal": "its class holds the towers and adapters of images and sound",
    "longcat_flash": "its class allocates the experts that compute nothing; the checkpoint does not (560 billion)",
    "gemma3": "its class holds the vision tower",
    "got_ocr2": "its class holds the vision tower",
}
"""Classes that hold more than the text model that we count."""
CHANGED_OTHERWISE: dict[tuple[str, str], str] = {
    (
        "mpt",
        "expansion_ratio",
    ): "transformers builds four times the width whatever the config says; MPT's own code reads it",
    ("nemotron_h", "tie_word_embeddings"): "transformers does not tie them",
}


def differs(config: dict[str, Any], parameters: int) -> float:
    return abs(count(from_config(config)).total / parameters - 1)


def config(kind: str) -> dict[str, Any]:
    row = TABLE[kind]
    return {"model_type": kind, "architectures": [row["class"]], **row["config"]}


@pytest.mark.parametrize("kind", [each for each in COVERED if each not in OTHERWISE])
def test_a_class_with_its_defaults_holds_what_we_count(kind: str) -> None:
    try:
        apart = differs(config(kind), TABLE[kind]["parameters"])
    except UnsupportedConfig as refused:
        assert refused.why.fix
        return
    assert apart <= WITHIN


@pytest.mark.parametrize("kind", [each for each in COVERED if each not in OTHERWISE])
def test_a_key_that_changes_the_count_is_read_or_refused(kind: str) -> None:
    wrong = []
    for key, value, parameters in TABLE[kind]["changed"]:
        if (kind, key) in CHANGED_OTHERWISE:
            continue
        try:
            apart = differs(config(kind) | {key: value}, parameters)
        except WorkloadError:
            continue
        if apart > WITHIN:
            wrong.append((key, value, round(apart, 4)))
    assert wrong == []


def test_most_causal_and_masked_kinds_of_the_library_are_covered() -> None:
    refused = 0
    for kind in COVERED:
        try:
            from_config(config(kind))
        except WorkloadError:
            refused += 1
    assert len(COVERED) - refused >= 90
