"""One workload's status as a page: waterfall, both meters, causes with evidence, decisions, other dashboards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from mfu.cli.output import bar, console, print_line
from mfu.cli.workloads import ready

Status = Mapping[str, Any]
UNKNOWN = "Unknown"
_MISLEADING = {
    "GPU utilisation": "a kernel was resident; waiting counts",
    "GPU active": "a context was bound; waiting counts",
    "SM active": "warps were resident; spinning counts",
    "memory active": "bytes moved, useful or not",
    "tensor active": "executed, recomputation and padding included",
}


def explain(namespace: str, name: str, status: Status) -> None:
    """Print the page. Everything comes from status; what is not there is said to be unknown."""
    out = console()
    summary = status.get("summary") or {}
    out.print(Text(f"{namespace}/{name}", style="bold"), Text(f"  {summary.get('model', UNKNOWN)}"))
    _headline(out, status, summary)
    _conditions(out, status)
    _waterfall(out, status)
    _meters(out, status)
    _losses(out, status)
    _attainable(out, status)
    _decisions(out, status)


def _headline(out: Console, status: Status, summary: Mapping[str, str]) -> None:
    scale = summary.get("scale", UNKNOWN)
    allocation = status.get("allocation") or {}
    out.print(f"  runs on      {_where(allocation) if allocation else 'waiting'}")
    for word in ("expected", "observed", "attainable"):
        out.print(f"  {word:<12} {summary.get(word, UNKNOWN):>8} {scale}")
    cost = f"{summary.get('costPerHour', UNKNOWN)} per hour, {summary.get('lostPerHour', UNKNOWN)} of it lost"
    out.print(f"  cost         {cost}")
    out.print(f"  main cause   {summary.get('cause', UNKNOWN)}")
    out.print(f"  ready        {ready(status)}")


def _where(allocation: Mapping[str, Any]) -> str:
    nodes = allocation["nodes"]
    return f"{allocation['gpus']} × {allocation['product']} on {nodes} node{'' if str(nodes) == '1' else 's'}"


def _conditions(out: Console, status: Status) -> None:
    bad = [each for each in status.get("conditions") or () if each["status"] == "False" and each["type"] != "Ready"]
    for each in bad:
        out.print(Text(f"  ! {each['type']}: {each['message']}", style="yellow"))


def _waterfall(out: Console, status: Status) -> None:
    expected = next(iter(status.get("expected") or ()), None)
    if expected is None or "mfu" not in expected:
        return
    mfu = float(expected["mfu"])
    parts = [(each["name"], float(each["share"])) for each in status.get("waterfall") or ()]
    out.print("\nFrom peak to observed (share of the GPUs' peak, MFU)")
    _bar(out, "peak", 1.0)
    for label, share in parts:
        if abs(share) >= 0.0005:
            _bar(out, f"{'−' if share > 0 else '+'} {label}", abs(share))
    _bar(out, "= expected MFU", mfu)
    observed = _shown(status)
    if observed is None or "mfu" not in observed:
        out.print("  observed is unknown")
        return
    reached = float(observed["mfu"])
    _bar(out, "− not reached at run time" if reached <= mfu else "+ more than expected", abs(mfu - reached))
    _bar(out, f"= observed MFU ({observed['meter'].lower()}, {observed['window']})", reached)


def _bar(out: Console, label: str, share: float) -> None:
    out.print(Text(f"  {label:<34} {100 * share:6.1f} %  {bar(share)}".rstrip()))


def _shown(status: Status) -> Mapping[str, Any] | None:
    """Progress over counters in the 10 min window, as the summary takes it."""
    rows = [
        each for each in status.get("observed") or () if each["window"] == "10m" and ("mfu" in each or "mbu" in each)
    ]
    return max(rows, key=lambda each: (each["meter"] == "Progress", float(each.get("confidence", 0))), default=None)


def _meters(out: Console, status: Status) -> None:
    rows = status.get("observed") or ()
    said: dict[str, None] = {}
    if rows:
        out.print("\nMeasured")
    for each in rows:
        band = f"{_percent(each, 'low')} to {_percent(each, 'high')}" if "low" in each else ""
        figures = f"MFU {_percent(each, 'mfu')}" + (f", MBU {_percent(each, 'mbu')}" if "mbu" in each else "")
        mark = "estimated" if each.get("estimated") else "measured"
        coverage = f"coverage {each.get('coverage', UNKNOWN)}"
        out.print(f"  {each['window']:>5} {each['meter']:<9} {figures:<23} {band:<17} {coverage}")
        said[f"  {each['meter']}: {mark}, {each.get('source', UNKNOWN)} at {each.get('observedAt', UNKNOWN)}"] = None
    for line in said:
        out.print(line)
    readings = status.get("readings") or ()
    if readings:
        out.print("\nWhat other dashboards show for the same GPUs")
    for each in readings:
        out.print(f"  {each['name']:<18} {_reading(each):>10}   {_MISLEADING.get(each['name'], '')}".rstrip())


def _losses(out: Console, status: Status) -> None:
    losses = status.get("losses") or ()
    if not losses:
        return
    out.print("\nWhere the rest went")
    for each in losses:
        mark = "" if each.get("wasted", True) else " (the hardware is at its limit: nothing is wasted)"
        out.print(
            Text(
                f"  {each['cause']} · {each['explains'].lower()} loss · {each.get('actor', UNKNOWN)}{mark}",
                style="bold",
            )
        )
        share = f"costs {_percent(each, 'share')} of peak; " if "share" in each else ""
        mended = f"mended: {_percent(each, 'counterfactualMFU')} MFU; " if "counterfactualMFU" in each else ""
        out.print(f"    {share}{mended}confidence {each.get('confidence', UNKNOWN)}")
        if each.get("action"):
            print_line(out, f"    do: {each['action']}")
        if each.get("evidence"):
            print_line(out, f"    evidence: {each['evidence']}")


def _attainable(out: Console, status: Status) -> None:
    changes: Iterable[Mapping[str, Any]] = (status.get("attainable") or {}).get("changes") or ()
    for number, each in enumerate(changes):
        if number == 0:
            out.print("\nFrom the declared setting to the attainable one")
        print_line(out, f"  {each['field']}: {each['from']} → {each['to']}  {_gain(each)}".rstrip())


def _gain(change: Mapping[str, Any]) -> str:
    points = 100 * float(change.get("gain", 0))
    parts = [f"{points:+.1f} points"] if abs(points) >= 0.05 else []
    throughput = 100 * float(change.get("throughputGain", 0))
    if abs(throughput) >= 0.5:
        parts.append(f"{throughput:+.0f} % tokens/s")
    return ", ".join(parts)


def _decisions(out: Console, status: Status) -> None:
    for number, each in enumerate(status.get("decisions") or ()):
        if number == 0:
            out.print("\nDecisions")
        how = f"{each['outcome']} ({each['mode'].lower()}, {each['reason']})"
        print_line(out, f"  {each['type']}: {how} {each['message']}")


def _percent(each: Mapping[str, Any], key: str) -> str:
    return f"{100 * float(each[key]):.1f} %" if key in each else UNKNOWN


def _reading(each: Mapping[str, Any]) -> str:
    value, unit = float(each["value"]), each.get("unit", "")
    if unit == "fraction":
        return f"{100 * value:.0f} %"
    if unit == "Hz":
        return f"{value / 1e6:.0f} MHz"
    return f"{value:.4g} {unit}"
