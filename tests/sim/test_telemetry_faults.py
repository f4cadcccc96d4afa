"""Broken telemetry: each switch breaks what it says and nothing else."""

import pytest

from mfu.sim.telemetry_faults import (
    ActiveFault,
    InvalidFault,
    TelemetryFault,
    break_text,
    counter_values,
    parse_fault,
    since_baseline,
)

PAGE = """\
# HELP DCGM_FI_DEV_SM_CLOCK SM clock frequency (in MHz).
# TYPE DCGM_FI_DEV_SM_CLOCK gauge
DCGM_FI_DEV_SM_CLOCK{gpu="0",modelName="NVIDIA H100 80GB HBM3",pod="p"} 1755
# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu="0",modelName="NVIDIA H100 80GB HBM3",pod="p"} 91000
# TYPE DCGM_FI_PROF_SM_ACTIVE gauge
DCGM_FI_PROF_SM_ACTIVE{gpu="0",modelName="NVIDIA H100 80GB HBM3",pod="p"} 0.500000
"""


def broken(kind, metric=""):
    return break_text(PAGE, [ActiveFault(kind, metric=metric)])


def values(page):
    return [line.rsplit(" ", 1)[1] for line in page.splitlines() if not line.startswith("#")]


def test_no_fault_leaves_the_page_alone() -> None:
    assert break_text(PAGE, []) == PAGE


def test_nan_hits_the_named_metric_only() -> None:
    assert values(broken(TelemetryFault.NAN, "SM_ACTIVE")) == ["1755", "91000", "NaN"]


def test_blanks_fit_the_type_of_the_field() -> None:
    assert values(broken(TelemetryFault.BLANK)) == [
        "9223372036854775794",
        "9223372036854775794",
        "140737488355328.000000",
    ]


def test_duplicates_repeat_every_series_for_another_pod() -> None:
    page = broken(TelemetryFault.DUPLICATE, "SM_CLOCK")

    assert values(page) == ["1755", "1755", "91000", "0.500000"]
    assert 'pod="p-shared"' in page


def test_profiling_rows_vanish_with_their_headers() -> None:
    assert "PROF" not in broken(TelemetryFault.PROFILING_MISSING)
    assert len(values(broken(TelemetryFault.PROFILING_MISSING))) == 2


def test_an_unknown_product_keeps_the_values() -> None:
    page = broken(TelemetryFault.UNKNOWN_PRODUCT)

    assert "H100" not in page
    assert values(page) == values(PAGE)


def test_a_malformed_line_is_added() -> None:
    page = broken(TelemetryFault.MALFORMED)

    assert len(page.splitlines()) == len(PAGE.splitlines()) + 1
    assert set(PAGE.splitlines()) < set(page.splitlines())


def test_a_restart_moves_counters_only() -> None:
    baseline = counter_values(PAGE)
    later = PAGE.replace("91000", "91500").replace("1755", "1500")

    assert values(since_baseline(PAGE, baseline)) == ["1755", "0", "0.500000"]
    assert values(since_baseline(later, baseline)) == ["1500", "500", "0.500000"]


@pytest.mark.parametrize("document", [{}, {"kind": "gremlins"}, {"kind": "nan", "node": "a"}])
def test_a_wrong_request_says_what_is_right(document) -> None:
    with pytest.raises(InvalidFault, match="kind"):
        parse_fault(document, 0.0)


def test_a_fault_without_target_hits_everything() -> None:
    assert ActiveFault(TelemetryFault.NAN).hits("any")
    assert not ActiveFault(TelemetryFault.NAN, target="a").hits("b")
