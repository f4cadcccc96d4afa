"""The demo's judge: what it lets pass and what it reports."""

import pytest
import yaml

from e2e.demo.cast import CAST, NODES, PREFIX
from e2e.demo.programs import EXAMPLES, operator_config
from e2e.demo.verdict import differences, fleet_differences, observed_mfu
from mfu.controller.config import parse
from mfu.sim.fleet import SimFleet
from mfu.sim.inventory import parse_nodes
from mfu.sim.pods import Workload
from mfu.sim.truth import from_annotations


def status(mfu="0.410", cause="None", losses=()):
    observed = [{"window": "10m", "meter": "Progress", "mfu": mfu, "confidence": "0.9"}]
    summary = {"cause": cause, "scale": "MFU", "observed": f"{100 * float(mfu):.1f}%"}
    return {"observed": observed, "summary": summary, "losses": list(losses)}


def whats(shown, planted_mfu=0.42, planted_cause="None"):
    found = differences({"a/t": shown}, {"a/t": {"mfu": planted_mfu, "cause": planted_cause}})
    return [each.what for each in found]


def test_matching_numbers_and_causes_differ_in_nothing() -> None:
    assert whats(status()) == []
    assert whats(status("0.15", "Communication"), 0.15, "Communication") == []


@pytest.mark.parametrize("mfu", ["0.399", "0.441"])
def test_more_than_two_points_differ(mfu) -> None:
    assert whats(status(mfu)) == ["observed MFU", "column OBSERVED (MFU)"]


def test_the_column_is_judged_on_its_own_scale() -> None:
    shown = {**status(), "summary": {"cause": "None", "scale": "MBU", "observed": "47.9%"}}
    planted = {"mfu": 0.42, "mbu": 0.47, "cause": "None"}

    assert differences({"a/t": shown}, {"a/t": planted}) == []
    assert differences({"a/t": shown}, {"a/t": {**planted, "mbu": None}}) == []
    (found,) = differences({"a/t": shown}, {"a/t": {**planted, "mbu": 0.40}})
    assert found.what == "column OBSERVED (MBU)"


@pytest.mark.parametrize(("totals", "whats"), [({"mfu": "0.2275"}, []), ({"mfu": "0.30"}, ["MFU of all GPUs"])])
def test_the_fleets_figure_is_judged_too(totals, whats) -> None:
    assert [each.what for each in fleet_differences({"totals": totals}, {"mfu": 0.224})] == whats
    assert fleet_differences({}, {"mfu": 0.224})[0].shown == "unknown"


def test_no_status_differs_in_everything() -> None:
    found = differences({}, {"a/t": {"mfu": 0.4, "cause": "Straggler"}})

    assert [(each.what, each.shown) for each in found] == [
        ("observed MFU", "unknown"),
        ("column OBSERVED (MFU)", "unknown"),
        ("main cause", "no status"),
    ]


def test_another_cause_differs() -> None:
    assert whats(status("0.15", "DataStarvation"), 0.15, "Communication") == ["main cause"]
    assert whats(status("0.15", "None"), 0.15, "Communication") == ["main cause"]


def test_a_healthy_workload_may_not_be_accused() -> None:
    wasted = {"cause": "SmallBatch", "wasted": True}

    assert whats(status(losses=[wasted])) == ["accused of"]
    assert whats(status(cause="Unknown")) == ["main cause"]


def test_a_healthy_workload_may_be_told_what_it_could_gain() -> None:
    hint = {"cause": "MemoryBound", "wasted": False}

    assert whats(status(cause="MemoryBound", losses=[hint])) == []


def test_progress_is_taken_before_counters() -> None:
    counters = {"window": "10m", "meter": "Counters", "mfu": "0.5", "confidence": "0.99"}

    assert observed_mfu({"observed": [counters, *status()["observed"]]}) == 0.41
    assert observed_mfu({"observed": [counters]}) == 0.5
    assert observed_mfu({"observed": [{**counters, "window": "1h"}]}) is None


@pytest.mark.parametrize("part", CAST, ids=lambda part: part.example)
def test_every_part_fits_its_example_and_the_simulator(part) -> None:
    spec = yaml.safe_load((EXAMPLES / f"{part.example}.yaml").read_text())["spec"]
    template = part.manifest()["spec"]["template"]
    truth = from_annotations(template["metadata"]["annotations"])
    per_replica = spec["accelerators"]["count"] // (part.pods if part.kind == "Job" else 1)

    assert spec["targetRef"] == {
        "apiVersion": part.manifest()["apiVersion"],
        "kind": part.kind,
        "name": part.example,
    }
    assert spec["model"]["preset"] == truth.model
    assert part.gpus == per_replica
    assert spec.get("training", {}).get("sequenceLength", truth.sequence_length) == truth.sequence_length
    assert spec.get("inference", {}).get("concurrency", truth.concurrency) == truth.concurrency
    assert all(key.startswith(PREFIX) for key in template["metadata"]["annotations"])


def test_the_cast_fits_on_the_nodes() -> None:
    nodes = parse_nodes(NODES)
    places = {part.product: tuple(n.name for n in nodes if n.product_label == part.product) for part in CAST}
    workloads = [
        Workload(
            part.namespace,
            part.example,
            from_annotations(part.manifest()["spec"]["template"]["metadata"]["annotations"]),
            pods=part.pods,
            gpus=part.gpus,
            resource=part.resource,
        )
        for part in CAST
    ]

    assert (len(nodes), {n.gpus for n in nodes}) == (8, {8})
    assert all(places.values())
    assert len(SimFleet(nodes, workloads).pods) == sum(part.pods for part in CAST)


def test_the_operators_configuration_is_valid() -> None:
    config = parse(operator_config("http://127.0.0.1:9400", 0), "demo")

    assert config.dcgm.url_template == "http://127.0.0.1:9400/nodes/{node}/metrics"
