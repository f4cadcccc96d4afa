"""Arguments of `mfu sim`: wrong ones end with a message and code 2, before anything runs."""

import argparse
from pathlib import Path

import pytest

from mfu.cli import sim


def parse(*arguments):
    parser = argparse.ArgumentParser()
    sim.add_parser(parser.add_subparsers())
    return parser.parse_args(["sim", *arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no nodes"),
        (("--nodes", "H100"), "PRODUCT"),
        (("--nodes", "X900=1"), "no known GPU product"),
        (("--plan", "MISSING"), "No such file"),
        (("--nodes", "H100-SXM5=1", "--plan", "PLAN"), "mfu"),
    ],
)
def test_wrong_arguments_end_with_code_2(
    arguments, message, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("workloads: [{namespace: a, name: t, mfu: lots}]")
    named = {"PLAN": str(plan), "MISSING": str(tmp_path / "missing.yaml")}

    assert sim.run(parse(*(named.get(each, each) for each in arguments))) == 2
    assert message in capsys.readouterr().err


def test_a_missing_cluster_ends_with_code_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ("--nodes", "H100-SXM5=1", "--port", "0", "--kubeconfig", str(tmp_path / "none"))

    assert sim.run(parse(*arguments)) == 1
    assert "does not exist" in capsys.readouterr().err


def test_a_plan_places_its_workloads_without_a_cluster(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "nodes: [{product: H100-SXM5}]\n"
        "workloads: [{namespace: a, name: t, gpus: 4, mfu: 0.4, model: llama-3.1-8b, sequence-length: 2048}]"
    )
    setup = sim._setup(parse("--plan", str(plan), "--no-cluster"))

    assert list(setup.fleet.pods) == ["a/t-0"]
    assert setup.fleet.pods["a/t-0"].truth.sequence_length == 2048
