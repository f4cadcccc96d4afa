"""One workload's view: why it runs as fast as it does, what to change, and how that went over time."""

from __future__ import annotations

from mfu.show.explanation import ExplainedLoss, Explanation, explanation
from mfu.show.figures import UNKNOWN, share
from mfu.show.history import eras, last_change, replies
from mfu.web import charts
from mfu.web.markup import NOTHING, Markup, join, tag
from mfu.web.seen import Known
from mfu.web.tables import Cell, table
from mfu.web.views import section


def workload(known: Known, now: float) -> Markup:
    listed = known.listed()
    page = explanation(listed.namespace, listed.name, listed.status)
    facts = [tag("div", tag("dt", each.label), tag("dd", " ".join(each.value.split()))) for each in page.facts]
    return join(
        (
            tag("h1", f"{page.namespace}/{page.name} ", tag("small", page.model)),
            tag("dl", *facts, class_="tiles"),
            *(tag("p", f"! {each}", class_="warning") for each in page.warnings),
            _waterfall(page),
            _losses(page),
            _steps(page),
            _changes(page),
            _replies(known),
            _decisions(page),
            _over_time(known, now),
            _measured(page),
        )
    )


def _waterfall(page: Explanation) -> Markup:
    if page.waterfall is None:
        return NOTHING
    note = NOTHING if page.waterfall.observed_known else tag("p", "Observed is unknown.", class_="note")
    picture = tag("div", charts.waterfall(page.waterfall), class_="scroll")
    return section("From peak to observed (share of the GPUs' peak, MFU, and of their price)", picture, note)


def _losses(page: Explanation) -> Markup:
    if not page.losses:
        return NOTHING
    return section("Where the rest went", tag("ul", *map(_loss, page.losses), class_="cards"))


def _loss(each: ExplainedLoss) -> Markup:
    mark = "" if each.wasted else " (the hardware is at its limit: nothing is wasted)"
    return tag(
        "li",
        tag("h3", f"{each.cause} · {each.explains.lower()} loss · {each.actor}{mark}"),
        tag("p", each.figures),
        tag("p", tag("b", "Do: "), each.action) if each.action else NOTHING,
        tag("p", tag("b", "Evidence: "), each.evidence) if each.evidence else NOTHING,
    )


def _steps(page: Explanation) -> Markup:
    if not page.recommendations:
        return NOTHING
    rows: list[tuple[Cell, ...]] = [
        (str(each.rank), tag("span", each.action, class_="words"), each.actor, each.brings, each.answer)
        for each in page.recommendations
    ]
    columns = ("", "STEP", "WHO", "WITH THOSE BEFORE IT", "ANSWER")
    return section("What to do", table(columns, rows))


def _replies(known: Known) -> Markup:
    rows = [
        (
            each.field,
            each.to,
            each.verdict,
            tag("span", each.reason, class_="words"),
            "" if each.gain is None else f"{100 * each.gain:+.1f} %",
            each.answered_at,
        )
        for each in replies(known.status.read())
    ]
    if not rows:
        return NOTHING
    columns = ("RECOMMENDATION", "TO", "ANSWER", "REASON", "PROMISED", "SINCE")
    return section("What its owner answered", table(columns, rows))


def _changes(page: Explanation) -> Markup:
    if not page.changes or page.recommendations:
        return NOTHING
    rows = [(each.field, each.before, each.after, each.gain) for each in page.changes]
    return section("From the declared setting to the attainable one", table(("FIELD", "NOW", "THEN", "GAIN"), rows))


def _decisions(page: Explanation) -> Markup:
    if not page.decisions:
        return NOTHING
    rows = [
        (str(each.type), each.outcome, str(each.mode), each.reason, tag("span", each.message, class_="words"))
        for each in page.decisions
    ]
    return section("Decisions", table(("MATTER", "OUTCOME", "MODE", "REASON", "WHY"), rows))


def _over_time(known: Known, now: float) -> Markup:
    status = known.status.read()
    found, change = eras(status), last_change(status)
    if not found and not known.recent and change is None:
        return NOTHING
    rows = [
        (
            charts.day(each.since),
            each.setting,
            each.version or UNKNOWN,
            f"{each.gpus or UNKNOWN} × {each.product}",
            share(each.mfu),
            "" if each.promised is None else f"{100 * each.promised:+.0f} %",
            {True: "kept", False: "not kept", None: ""}[each.kept],
        )
        for each in reversed(found)
    ]
    columns = ("SINCE", "SETTING", "VERSION", "GPUS", "REFERENCE MFU", "PROMISED", "ADVICE")
    return section(
        "Over time (reference MFU)",
        tag("div", charts.trend(found, known.recent, now), class_="scroll"),
        tag("p", f"Last change: {change.sentence}") if change else NOTHING,
        table(columns, rows) if rows else NOTHING,
    )


def _measured(page: Explanation) -> Markup:
    if not page.measurements and not page.dashboards:
        return NOTHING
    rows = [
        (
            each.window,
            each.meter,
            share(each.mfu),
            share(each.mbu),
            "" if each.low is None else f"{share(each.low)} to {share(each.high)}",
            each.coverage,
        )
        for each in page.measurements
    ]
    others = [(each.name, each.value, each.misleading) for each in page.dashboards]
    return join(
        (
            section(
                "Measured",
                table(("WINDOW", "METER", "MFU", "MBU", "BAND", "COVERAGE"), rows),
                *(tag("p", each, class_="note") for each in page.sources),
            ),
            section(
                "What other dashboards show for the same GPUs", table(("FIGURE", "VALUE", "WHAT IT LEAVES OUT"), others)
            )
            if others
            else NOTHING,
        )
    )
