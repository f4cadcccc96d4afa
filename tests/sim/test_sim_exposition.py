"""The exporters' text, read back by an ordinary parser and by rules of the format."""

import re

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mfu.sim.exposition import Exporters
from mfu.sim.fields import NamingRegime, load_fields
from mfu.sim.fleet import SimFleet
from mfu.sim.inventory import parse_nodes
from mfu.sim.pods import Workload
from mfu.sim.recordings import load
from mfu.sim.truth import Fault, Truth

LABEL_ORDER = re.compile(
    r'^DCGM_\w+\{gpu="\d",UUID="GPU-[0-9a-f-]{36}",pci_bus_id="[0-9A-F:.]+",device="nvidia\d",modelName="[^"]+"'
    r'(,GPU_I_PROFILE="[^"]+",GPU_I_ID="\d+")?,[Hh]ostname="[^"]+",DCGM_FI_\w+="[\d.]+"'
    r'(,container="[^"]+",namespace="[^"]+",pod="[^"]+")?\} -?[\d.]+$'
)


def exporters(*workloads, nodes="H100-SXM5=1", **kwargs):
    return Exporters(SimFleet(parse_nodes(nodes), workloads, 3), **kwargs)


def families(text):
    return {family.name.removesuffix("_total"): family for family in text_string_to_metric_families(text)}


def values(text, name):
    return np.array([float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + "{")])


@pytest.mark.parametrize("regime", NamingRegime)
def test_every_line_has_the_exporters_form(regime) -> None:
    text = exporters(Workload("a", "t", Truth(0.4), gpus=4), regime=regime).text("h100-sxm5-00", 50.0)
    samples = [line for line in text.splitlines() if not line.startswith("#")]

    assert all(LABEL_ORDER.match(line) for line in samples)
    assert len(samples) == 8 * text.count("# TYPE ")
    assert text.count("# HELP ") == text.count("# TYPE ")


def test_an_ordinary_parser_reads_it() -> None:
    text = exporters(Workload("a", "t", Truth(0.4), gpus=4)).text("h100-sxm5-00", 50.0)

    samples = families(text)["DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"].samples
    assert [sample.labels.get("pod") for sample in samples] == ["t-0"] * 4 + [None] * 4
    assert all(sample.labels["Hostname"] == "h100-sxm5-00" for sample in samples)


@pytest.mark.parametrize("mfu", [0.2, 0.42])
def test_activity_times_clock_gives_the_planted_mfu_back(mfu) -> None:
    simulated = exporters(Workload("a", "t", Truth(mfu)))
    recording = load()["ddp-healthy-nvlink"]
    texts = [simulated.text("h100-sxm5-00", 1000.0 + second) for second in range(14)]
    tensor = np.mean([values(text, "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE") for text in texts])
    clock = np.mean([values(text, "DCGM_FI_DEV_SM_CLOCK") for text in texts])

    assert tensor * clock / 1830 * recording.mfu / recording.activity == pytest.approx(mfu, rel=0.02)


def test_units_of_the_new_regime() -> None:
    workload = Workload("a", "t", Truth(0.4))
    legacy = exporters(workload).text("h100-sxm5-00", 50.0)
    new = exporters(workload, regime=NamingRegime.NEW).text("h100-sxm5-00", 50.0)

    np.testing.assert_allclose(values(new, "DCGM_FI_DEV_SM_CLOCK_HERTZ"), 1e6 * values(legacy, "DCGM_FI_DEV_SM_CLOCK"))
    ratios = values(new, "DCGM_FI_DEV_GPU_UTIL_RATIO")
    assert np.all((ratios > 0.5) & (ratios <= 1.0))
    np.testing.assert_allclose(
        values(new, "DCGM_FI_PROF_TENSOR_UTIL_RATIO"), values(legacy, "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE")
    )
    assert "DCGM_FI_DEV_SM_CLOCK{" not in new


def test_host_label_of_the_transition() -> None:
    text = exporters(regime=NamingRegime.TRANSITION).text("h100-sxm5-00", 50.0)

    assert ',hostname="h100-sxm5-00",' in text
    assert "DCGM_FI_DEV_SM_CLOCK{" in text


def test_default_counters_lack_what_the_default_csv_lacks() -> None:
    text = exporters(counters="default").text("h100-sxm5-00", 50.0)

    assert "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE" in text
    assert "DCGM_FI_PROF_SM_ACTIVE" not in text
    assert "NVLINK_TX_BYTES" not in text


def test_mig_instances_have_no_links_and_no_utilisation() -> None:
    truth = Truth(0.3, model="llama-3.2-1b")
    workload = Workload("a", "m", truth, gpus=1, resource="nvidia.com/mig-1g.10gb")
    text = exporters(workload, nodes="H100-SXM5:1g.10gb=1").text("h100-sxm5-mig-00", 50.0)
    rows = [line for line in text.splitlines() if line.startswith("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{")]

    assert len(rows) == 56
    assert 'GPU_I_PROFILE="1g.10gb",GPU_I_ID="7"' in rows[0]
    assert 'pod="m-0"' in rows[0]
    assert not any(absent in text for absent in ("PCIE_TX", "NVLINK", "DCGM_FI_DEV_GPU_UTIL"))


def test_a_slow_link_shows_gpu_utilisation_near_100_and_full_pcie() -> None:
    text = exporters(Workload("a", "t", Truth(0.145, Fault.SLOW_LINK))).text("h100-sxm5-00", 50.0)

    assert values(text, "DCGM_FI_DEV_GPU_UTIL").mean() > 60
    assert values(text, "DCGM_FI_PROF_PCIE_TX_BYTES").mean() > 25e9


def test_text_follows_the_pods() -> None:
    fleet = SimFleet(parse_nodes("H100-SXM5=1"), [Workload("a", "t", Truth(0.4))], 3)
    simulated = Exporters(fleet)
    before = simulated.text("h100-sxm5-00", 50.0)
    fleet.remove("a/t-0")

    assert 'pod="t-0"' in before
    assert 'pod="' not in simulated.text("h100-sxm5-00", 51.0)


def test_the_whole_fleet_is_its_nodes() -> None:
    simulated = exporters(nodes="H100-SXM5=2,H200-SXM=1")

    whole = "".join(simulated.all_text(50.0))
    assert whole == "".join(simulated.text(node, 50.0) for node in ("h100-sxm5-00", "h100-sxm5-01", "h200-sxm-00"))


def test_an_unknown_node_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        exporters().text("nowhere", 50.0)


def test_field_names_are_unique_in_each_regime() -> None:
    names = [field.name for field in load_fields()]
    new = [field.new_name for field in load_fields() if field.new_name]

    assert len(set(names)) == len(names)
    assert len(set(new)) == len(new)


@pytest.mark.slow
def test_five_thousand_nodes_are_text() -> None:
    workloads = [Workload("a", f"t{number}", Truth(0.42)) for number in range(5000)]
    simulated = exporters(*workloads, nodes="H100-SXM5=5000")

    assert sum(len(page) for page in simulated.all_text(50.0)) > 400e6
