"""One line on what a pod seems to run, from its images and arguments alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mfu.adopt.glance import MOST_CHARACTERS, seems

ROOT = Path(__file__).parents[2]
GPU: dict[str, Any] = {"resources": {"limits": {"nvidia.com/gpu": 8}}}


def pod(**container: Any) -> dict[str, Any]:
    return {"containers": [{"name": "main", **GPU, **container}]}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            pod(image="vllm/vllm-openai:v0.11.0", args=["--model", "meta-llama/Llama-3.3-70B-Instruct"]),
            "vLLM 0.11.0 serves llama-3.3-70b",
        ),
        (
            pod(
                image="lmsysorg/sglang:v0.5.1", command=["python3", "-m", "sglang.launch_server", "--model-path", "Q/X"]
            ),
            "SGLang 0.5.1 serves Q/X",
        ),
        (
            pod(image="pytorch/pytorch:2.6", command=["torchrun", "-m", "torchtitan.train", "--model.flavor", "8B"]),
            "torchtitan trains a model that its arguments do not name",
        ),
        (pod(image="ghcr.io/team/notebook:1"), "image ghcr.io/team/notebook:1"),
        ({"containers": []}, ""),
        ({}, ""),
    ],
)
def test_what_it_seems_to_be(spec: dict[str, Any], said: str) -> None:
    assert seems(spec) == said


def test_the_example_that_runs() -> None:
    deployment = yaml.safe_load((ROOT / "examples" / "running" / "vllm-deployment.yaml").read_text())
    assert seems(deployment["spec"]["template"]["spec"]) == "vLLM 0.11.0 serves llama-3.1-8b"


def test_nothing_of_the_environment_is_said() -> None:
    spec = pod(
        image="vllm/vllm-openai:v0.11.0", args=["--model", "$(MODEL)"], env=[{"name": "MODEL", "value": "secret"}]
    )
    assert "secret" not in seems(spec)


@given(st.lists(st.text(max_size=40), max_size=6), st.text(max_size=40))
def test_no_command_line_is_too_odd(words: list[str], image: str) -> None:
    assert len(seems(pod(image=image, command=words))) <= MOST_CHARACTERS
