"""The counter that a workload declares in `spec.progress`, and what `mfu.report` adds to it, as a ProgressReading."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from mfu.observe.readings import Counter, Gauge, ProgressReading
from mfu.telemetry.errors import NotExposition
from mfu.telemetry.pods.described import described
from mfu.telemetry.text.series import LabelSet, Series, read

_UNITS: Final = {"Tokens": Counter.TRAINED_TOKENS, "Samples": Counter.TRAINED_SAMPLES, "Steps": Counter.STEPS}
_TOTAL_SCOPE: Final = "Total"
SAME: Final = 0.005
"""Relative difference of series that repeat one total: a rank may be a step ahead."""
_DIGITS: Final = re.compile(r"[0-9]+")
_PROCESSES: Final = (
    "rank",
    "gpu",
    "device",
    "worker",
    "process",
    "pid",
    "thread",
    "host",
    "node",
    "pod",
    "instance",
    "uuid",
)
"""Parts of the names of labels that tell processes of one job apart."""

REPORT_COUNTERS: Final = {
    "train_tokens_total": Counter.TRAINED_TOKENS,
    "train_samples_total": Counter.TRAINED_SAMPLES,
    "train_steps_total": Counter.STEPS,
    "train_data_wait_seconds_total": Counter.DATA_WAIT_SECONDS,
    "train_communication_wait_seconds_total": Counter.COMMUNICATION_WAIT_SECONDS,
}
"""What `mfu.report` serves; read along when a workload declares any counter of it."""
REPORT_GAUGES: Final = {"train_last_step_seconds": Gauge.STEP_SECONDS}


@dataclass(frozen=True, slots=True)
class DeclaredProgress:
    """`spec.progress` without its address. `counter` overrides what the unit says, for inference."""

    metric: str
    unit: str = "Tokens"
    scope: str = "Total"
    counter: Counter | None = None

    @property
    def counts(self) -> Counter:
        if self.counter is not None:
            return self.counter
        if self.unit not in _UNITS:
            raise ValueError(f"progress.unit {self.unit!r}: use one of {', '.join(_UNITS)}")
        return _UNITS[self.unit]


@dataclass(frozen=True, slots=True)
class ScrapedPod:
    """Whose endpoint was read."""

    namespace: str
    name: str


def declared(body: bytes, pod: ScrapedPod, at: float, what: DeclaredProgress) -> ProgressReading:
    """The declared counter, summed over its label sets, plus the waits and the step time that `mfu.report` serves.

    Raises NotExposition when the body does not hold the counter as a finite, non-negative number, calls it a gauge, or
    gives one series a process where a total is declared. A counter declared without `_total` is found with it, since
    Prometheus clients add the suffix.
    """
    names = (what.metric, f"{what.metric}_total")
    series = read(body, {*names, *REPORT_COUNTERS, *REPORT_GAUGES})
    value = series.total(*names)
    doubt = _why(body, series, what.metric) if value is None else _doubt(body, series, names, what)
    if value is None or doubt is not None:
        raise NotExposition(f"{pod.namespace}/{pod.name}", *(doubt or _why(body, series, what.metric)))
    counters = _report_counters(series)
    counters[what.counts] = value
    gauges = {gauge: found for name, gauge in REPORT_GAUGES.items() if (found := series.largest(name)) is not None}
    return ProgressReading(pod.namespace, pod.name, "progress", at, counters, gauges, what.scope == _TOTAL_SCOPE)


def _doubt(body: bytes, series: Series, names: tuple[str, ...], what: DeclaredProgress) -> tuple[str, str] | None:
    """What the page says against reading it as the work of the whole workload."""
    name = next(each for each in names if each in series.names())
    kind = described(body, (name,))[name]
    if not kind.counts:
        return (
            f"{name} is a {kind.kind}, not a counter",
            "declare a counter of all work so far, such as train_tokens_total",
        )
    other = other_unit(name, kind.help, what)
    if other is not None:
        return (
            f"{name} counts {other.lower()} by its own name or HELP, and spec.progress.unit is {what.unit}",
            f"set spec.progress.unit: {other}, or name a counter of {what.unit.lower()}",
        )
    found = series.by_name[name]
    if what.scope != _TOTAL_SCOPE or len(found) < 2 or not (alike(found.values()) or _of_processes(found)):
        return None
    fix = "serve one series with the total, or declare scope: PerRank if each is a share"
    return f"{name} has {len(found)} series, each of a process: the total several times, or shares of it", fix


def other_unit(name: str, said: str, what: DeclaredProgress) -> str | None:
    """The unit that a metric names, where it is another one than was declared; None where it names none or several.

    `other_unit("train_steps_total", "", DeclaredProgress("train_steps_total")) == "Steps"`: a default of Tokens would
    read a step as one token.
    """
    if what.counter is not None:
        return None
    for text in (name.lower(), said):
        named = {unit for unit, words in _UNIT_WORDS.items() if words.search(text)}
        if named:
            return named.pop() if len(named) == 1 and what.unit not in named else None
    return None


_UNIT_WORDS: Final = {
    "Tokens": re.compile(r"token"),
    "Samples": re.compile(r"sample|sequence|example"),
    "Steps": re.compile(r"step|iteration"),
}


def alike(values: Iterable[float]) -> bool:
    """Do they repeat one total? `alike([3000, 4000, 3000])`: some are a step ahead; `alike([7000, 3000])` is not."""
    known = sorted(values)
    if known[0] <= 0 or len(known) < 2:
        return False
    return known[-1] <= (1 + SAME) * known[0] or (len(known) > 2 and len(set(known)) <= 2)


def _of_processes(labels: Iterable[LabelSet]) -> bool:
    """Are the series told apart by who counts (`rank="3"`, `w="worker-3"`), rather than by what is counted?"""
    texts: dict[str, set[str]] = {}
    for each in labels:
        for name, value in each:
            texts.setdefault(name, set()).add(value)
    differing = {name: found for name, found in texts.items() if len(found) > 1}
    return any(_names_processes(name) or _numbered(found) for name, found in differing.items())


def _names_processes(label: str) -> bool:
    return any(part in label.lower() for part in _PROCESSES)


def _numbered(values: set[str]) -> bool:
    """The same words with other numbers, such as "cuda:0" and "cuda:1"."""
    return len({_DIGITS.sub("", value) for value in values}) == 1


def _report_counters(series: Series) -> dict[Counter, float]:
    found = {counter: series.total(name) for name, counter in REPORT_COUNTERS.items()}
    return {counter: value for counter, value in found.items() if value is not None}


def _why(body: bytes, series: Series, metric: str) -> tuple[str, str]:
    if series.names() & {metric, f"{metric}_total"}:
        return (
            f"{metric} has no usable value",
            "serve it as a finite, non-negative counter, each line ended by a newline",
        )
    found = _nearest_names(body, metric)
    return f"{metric} is not served there, but {found}", "correct spec.progress.metric, port or path"


def _nearest_names(body: bytes, metric: str) -> str:
    """What the page does hold: the names most like the one that was asked for, else the first ones."""
    text = body[:_LOOKED_AT].decode(errors="replace")
    names = list(dict.fromkeys(match[1] for match in _NAME.finditer(text)))
    near = get_close_matches(metric, names, _NAMED, 0.4) or names[:_NAMED]
    return ", ".join(near) if near else "no metric at all"


_NAME: Final = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)[ {]", re.MULTILINE)
_LOOKED_AT: Final = 64 * 1024
_NAMED: Final = 3
