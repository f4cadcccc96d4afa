"""The counter that `spec.progress` declares, and the loop's own reporter behind it."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from mfu import report
from mfu.observe.readings import Counter, Gauge
from mfu.telemetry.errors import NotExposition
from mfu.telemetry.pods.progress import DeclaredProgress, ScrapedPod, declared, other_unit

POD = ScrapedPod("team-a", "llama-0")


@pytest.mark.parametrize(
    ("body", "what", "counter", "value"),
    [
        (b"train_tokens_total 1.5e+12\n", DeclaredProgress("train_tokens_total"), Counter.TRAINED_TOKENS, 1.5e12),
        (b"# TYPE t counter\nt_total 7\n", DeclaredProgress("t", "Steps"), Counter.STEPS, 7),
        (b't{rank="0"} 7\nt{rank="1"} 8\n', DeclaredProgress("t", "Samples", "PerRank"), Counter.TRAINED_SAMPLES, 15),
        (b"my:tokens 9 1700000000000\n", DeclaredProgress("my:tokens"), Counter.TRAINED_TOKENS, 9),
        (b"out_total 9\n", DeclaredProgress("out_total", counter=Counter.DECODE_TOKENS), Counter.DECODE_TOKENS, 9),
        (b'  t{ a = "b" , } 3 \n', DeclaredProgress("t"), Counter.TRAINED_TOKENS, 3),
        (b't{a="}"} 3 # {trace="x"} 5\n', DeclaredProgress("t"), Counter.TRAINED_TOKENS, 3),
    ],
)
def test_declared_counter(body: bytes, what: DeclaredProgress, counter: Counter, value: float) -> None:
    found = declared(body, POD, 3.0, what)
    assert found.counters == {counter: value}
    assert (found.pod, found.observed_at, found.scope_total) == ("llama-0", 3.0, what.scope == "Total")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"other 1\n", b"t NaN\n", b"t -1\n", b"t 1e999\n", b't{rank="0"} 7\nt{rank="1"} x\n', b"t 12",
        b"t 1\nt 2\n",
    ],
)  # fmt: skip
def test_an_unusable_counter_is_refused(body: bytes) -> None:
    with pytest.raises(NotExposition):
        declared(body, POD, 0.0, DeclaredProgress("t"))


def test_an_unknown_unit_is_named() -> None:
    with pytest.raises(ValueError, match=r"progress\.unit 'Bytes'"):
        declared(b"t 1\n", POD, 0.0, DeclaredProgress("t", "Bytes"))


def test_a_reporting_loop_is_read_with_its_waits() -> None:
    reporter = report.Reporter(port=0, host="127.0.0.1", serve=True)
    try:
        reporter.step(tokens=4096, samples=2, data_wait_seconds=0.25)
        reporter.step(tokens=4096, samples=2, data_wait_seconds=0.5, communication_wait_seconds=0.125)
        with urllib.request.urlopen(f"http://127.0.0.1:{reporter.port}/metrics", timeout=5) as answer:
            found = declared(answer.read(), POD, 1.0, DeclaredProgress("train_tokens_total"))
    finally:
        reporter.close()
    assert found.counters == {
        Counter.TRAINED_TOKENS: 8192,
        Counter.TRAINED_SAMPLES: 4,
        Counter.STEPS: 2,
        Counter.DATA_WAIT_SECONDS: 0.75,
        Counter.COMMUNICATION_WAIT_SECONDS: 0.125,
    }
    assert 0 <= found.gauges[Gauge.STEP_SECONDS] < 5


def test_only_rank_zero_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    reporter = report.Reporter(port=0)
    reporter.step(tokens=1)
    assert not hasattr(reporter, "port")
    reporter.close()


def test_a_taken_port_warns_and_never_stops_the_loop() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.warns(UserWarning, match="does not serve"):
            reporter = report.Reporter(port=taken.getsockname()[1], host="127.0.0.1", serve=True)
        reporter.step(tokens=1)
    assert "train_tokens_total 1.0" in reporter.text()


def test_the_file_runs_alone_without_any_package(tmp_path: Path) -> None:
    copied = tmp_path / "report.py"
    copied.write_bytes(Path(report.__file__).read_bytes())
    loop = tmp_path / "loop.py"
    loop.write_text(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nfrom report import Reporter\n"
        "r = Reporter(port=0, host='127.0.0.1')\nr.step(tokens=5)\nprint(r.text(), end='')\n"
        "assert not any(name.split('.')[0] in ('mfu', 'numpy', 'aiohttp') for name in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-I", str(loop)], capture_output=True, text=True, timeout=30, check=False, env={}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "train_tokens_total 5.0" in done.stdout


RANKS = "".join(f'train_tokens_total{{rank="{rank}"}} {5_000_000 + rank}\n' for rank in range(8)).encode()


def test_a_total_given_once_a_rank_is_refused_and_shares_add_up() -> None:
    with pytest.raises(NotExposition, match="8 series, each of a process") as refused:
        declared(RANKS, POD, 0.0, DeclaredProgress("train_tokens_total"))
    assert "PerRank" in refused.value.fix
    shares = declared(RANKS, POD, 0.0, DeclaredProgress("train_tokens_total", scope="PerRank"))
    assert shares.counters[Counter.TRAINED_TOKENS] == 8 * 5_000_000 + 28


@pytest.mark.parametrize("label", ["rank", "local_rank", "x", "GPU", "worker_name", "host"])
@pytest.mark.parametrize("skew", [0, 1, 40])
@pytest.mark.parametrize("count", [2, 3, 8, 16])
def test_a_total_is_never_read_once_a_process(label: str, skew: int, count: int) -> None:
    """From the first step on, when a rank that is one step ahead counts a third more than the others."""
    text = {"worker_name": "job-{}-of-many", "host": "n{}.example"}.get(label, "{}")
    for step in (1, 3, 100, 10_000):
        values = [1000 * (step + (skew if rank % 2 else 0)) for rank in range(count)]
        page = "".join(f't_total{{{label}="{text.format(rank)}"}} {each}\n' for rank, each in enumerate(values))
        with pytest.raises(NotExposition, match="each of a process"):
            declared(page.encode(), POD, 0.0, DeclaredProgress("t_total"))


@pytest.mark.parametrize("values", [[3000, 4000, 4000], [5, 5], [5000, 5020]])
def test_copies_under_names_that_say_nothing_are_seen_by_their_values(values: list[int]) -> None:
    page = "".join(f't_total{{x="{name}"}} {each}\n' for name, each in zip("abcdef", values, strict=False))
    with pytest.raises(NotExposition, match="each of a process"):
        declared(page.encode(), POD, 0.0, DeclaredProgress("t_total"))


def test_different_series_of_one_total_add_up() -> None:
    body = b't_total{kind="text"} 7000\nt_total{kind="code"} 3000\n'
    assert declared(body, POD, 0.0, DeclaredProgress("t_total")).counters[Counter.TRAINED_TOKENS] == 10_000


@pytest.mark.parametrize("kind", ["gauge", "histogram", "summary", "info"])
def test_only_counters_count(kind: str) -> None:
    body = f"# HELP tps tokens per second\n# TYPE tps {kind}\ntps 100000\n".encode()
    with pytest.raises(NotExposition, match=f"tps is a {kind}, not a counter"):
        declared(body, POD, 0.0, DeclaredProgress("tps"))


@pytest.mark.parametrize(
    ("name", "said", "unit", "other"),
    [
        ("train_steps_total", "", "Tokens", "Steps"),
        ("train_tokens_total", "", "Steps", "Tokens"),
        ("samples_seen_total", "", "Tokens", "Samples"),
        ("progress_total", "optimizer steps done.", "Tokens", "Steps"),
        ("progress_total", "", "Tokens", None),
        ("train_tokens_total", "tokens, counted after each step", "Tokens", None),
        ("tokens_per_step_total", "", "Steps", None),
        ("trained_tokens_total", "steps", "Tokens", None),
    ],
)
def test_a_metric_that_names_another_unit(name: str, said: str, unit: str, other: str | None) -> None:
    assert other_unit(name, said, DeclaredProgress(name, unit)) == other


def test_a_wrong_unit_is_refused_with_the_right_one() -> None:
    body = b"# HELP train_steps_total Optimizer steps.\n# TYPE train_steps_total counter\ntrain_steps_total 12\n"
    with pytest.raises(NotExposition) as refused:
        declared(body, ScrapedPod("team", "w-0"), 0.0, DeclaredProgress("train_steps_total"))
    assert "train_steps_total counts steps" in refused.value.problem
    assert "spec.progress.unit: Steps" in refused.value.fix
    right = DeclaredProgress("train_steps_total", "Steps")
    assert declared(body, ScrapedPod("team", "w-0"), 0.0, right).counters[Counter.STEPS] == 12
