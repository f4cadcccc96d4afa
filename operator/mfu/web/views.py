"""Each view as HTML, from show's values: workloads, one workload, the fleet, decisions, changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final
from urllib.parse import quote

from mfu.api.workload_status import WorkloadStatus
from mfu.show.decisions import asks
from mfu.show.figures import UNKNOWN
from mfu.show.fleet import LOSS_COLUMNS, BillLine, DraftLine, FleetView, fleet_view
from mfu.show.fleet_groups import FAMILY_COLUMNS, LAYOUT_COLUMNS, TREND_COLUMNS
from mfu.show.history import eras, last_change, promises, replies
from mfu.show.levels import levels
from mfu.show.questions.answer import Answer
from mfu.show.questions.asked import QUESTIONS, answers
from mfu.show.tenant import TenantView, tenant_view
from mfu.show.workloads import COLUMNS, Listed, row
from mfu.units import money, percent
from mfu.web import charts
from mfu.web.markup import NOTHING, Child, Markup, join, tag
from mfu.web.seen import Seen
from mfu.web.tables import Cell, link, table

MOST_ROWS: Final = 1000
"""Of a table: more than anybody reads. What is left out is said, and a namespace narrows it down."""
_NUMERIC: Final = frozenset({"GPUS", "EXPECTED", "OBSERVED", "ATTAINABLE", "$/H", "LOST/H"})


def workloads(seen: Seen, namespace: str | None) -> Markup:
    shown, rows = seen.of(namespace), list[tuple[Cell, ...]]()
    totals = tenant_view(_kept(shown.listed(), rows))
    title = "Workloads" if namespace is None else f"Workloads of {namespace}"
    columns = (*COLUMNS[:8], "", *COLUMNS[8:])
    return join(
        (
            tag("h1", title),
            _tiles(totals),
            _left_out(len(shown.workloads)),
            _filter(),
            table(columns, rows, numeric=_NUMERIC, named="Workloads"),
            _note("In each picture the bar is what was observed, the line what is expected, the frame the attainable."),
        )
    )


def _kept(listed: Iterable[Listed], rows: list[tuple[Cell, ...]]) -> Iterator[Listed]:
    """Each passes once, and none stays: the first become rows on the way."""
    for each in listed:
        if len(rows) < MOST_ROWS:
            rows.append(_row(each))
        yield each


def _tiles(totals: TenantView) -> Markup:
    tiles = [("workloads", str(totals.workloads)), ("GPUs held", str(totals.gpus))]
    for each in totals.amounts:
        tiles.append(("per hour", money(each.per_hour, each.currency)))
        tiles.append(("of it lost", money(each.lost_per_hour, each.currency)))
        if each.charged_per_hour is not None:
            tiles.append(("charged per hour", money(each.charged_per_hour, each.currency)))
    if totals.unpriced:
        tiles.append(("without a price", str(totals.unpriced)))
    return tag("dl", *(tag("div", tag("dt", label), tag("dd", value)) for label, value in tiles), class_="tiles")


def _left_out(count: int) -> Markup:
    if count <= MOST_ROWS:
        return NOTHING
    return tag("p", f"The first {MOST_ROWS} of {count}: open a namespace to see the rest.", class_="note")


def _filter() -> Markup:
    field = tag("input", type="search", id="filter", placeholder="name, model, cause …", autocomplete="off")
    return tag("p", tag("label", "Filter ", field), " ", tag("span", id="count", role="status"), class_="filter")


def _row(workload: Listed) -> tuple[Cell, ...]:
    namespace, name, *cells = row(workload)
    picture = charts.bullet(levels(workload.status))
    first = (link(f"workloads?namespace={_quoted(namespace)}", namespace), link(_place(namespace, name), name))
    return (*first, *cells[:6], picture, *cells[6:])


def _place(namespace: str, name: str) -> str:
    return f"workloads/{_quoted(namespace)}/{_quoted(name)}"


def _quoted(text: str) -> str:
    return quote(text, safe="")


def fleet(seen: Seen) -> Markup:
    if seen.report is None:
        return join((tag("h1", "Fleet"), tag("p", "Your account may not see the fleet's report.", class_="note")))
    page = fleet_view(seen.report.read())
    tables = [
        join(
            (
                tag("h2", _plural(group.title)),
                table((group.title, *group.columns), group.rows, numeric=frozenset(group.columns)),
            )
        )
        for group in page.groups
        if group.rows
    ]
    losses = table(LOSS_COLUMNS, page.losses, numeric=frozenset(LOSS_COLUMNS[3:]))
    return join(
        (
            tag("h1", "Fleet"),
            tag("p", f"{page.headline}. Main cause of loss: {page.main_cause}.", class_="lead"),
            tag("p", page.factors, class_="lead") if page.factors else NOTHING,
            *(tag("p", each, class_="lead") for each in page.beside),
            *(tag("p", f"! {each}", class_="warning") for each in (*page.held_for_nothing, *page.structural)),
            *(
                section("Where the money goes, per hour", charts.bill(each), tag("p", each.sentence), _earned(each))
                for each in page.bills
            ),
            section("Losses", losses if page.losses else tag("p", "None is known."), _note(page.uncaused)),
            _lately(page),
            *tables,
            _drafts(page.drafts),
        )
    )


def _drafts(found: Sequence[DraftLine]) -> Markup:
    """GPUs that nobody answers for, and the command that adopts what holds them."""
    if not found:
        return NOTHING
    rows = [(tag("span", each.sentence, class_="words"), tag("code", each.command)) for each in found]
    return section("GPU pods that nobody declared", table(("WHAT", "ADOPT IT WITH"), rows))


def _note(words: str) -> Markup:
    return tag("p", words, class_="note") if words else NOTHING


def _earned(bill: BillLine) -> Markup:
    return tag("p", bill.earned) if bill.earned else NOTHING


def _lately(page: FleetView) -> Markup:
    """Families, the last day's changes, the last days, MIG layouts to come; what is not known is not there."""
    families = table(("FAMILY", *FAMILY_COLUMNS), page.families, numeric=frozenset(FAMILY_COLUMNS[:-1]))
    days = table(("DAY", *TREND_COLUMNS), page.trend, numeric=frozenset(TREND_COLUMNS))
    layouts = table(("NODE", *LAYOUT_COLUMNS), page.layouts, numeric=frozenset({"WAITING", "MOVED"}))
    return join(
        (
            section("Model families", families) if page.families else NOTHING,
            section("Changed in the last day", tag("ul", *(tag("li", each) for each in page.changes)))
            if page.changes
            else NOTHING,
            section("The last days", days) if page.trend else NOTHING,
            section("MIG layouts to come", layouts) if page.layouts else NOTHING,
        )
    )


def _plural(title: str) -> str:
    return f"{title.capitalize()}s"


def section(title: str, *children: Child) -> Markup:
    return tag("section", tag("h2", title), *children)


def decisions(seen: Seen, namespace: str | None) -> Markup:
    """What asks something of somebody, with its reason."""
    asking = list(islice(asks(seen.of(namespace).listed()), MOST_ROWS))
    rows: Iterable[tuple[Cell, ...]] = (
        (
            link(_place(each.namespace, each.name), f"{each.namespace}/{each.name}"),
            str(each.decision.type),
            each.decision.outcome,
            str(each.decision.mode),
            each.decision.reason,
            tag("span", each.decision.message, class_="words"),
            each.decision.evaluated_at or UNKNOWN,
        )
        for each in asking
    )
    columns = ("WORKLOAD", "MATTER", "OUTCOME", "MODE", "REASON", "WHY", "SINCE")
    lead = f"{len(asking)} ask for a change. Those that leave everything as it is are on each workload's own page."
    return join((tag("h1", "Decisions"), tag("p", lead, class_="lead"), _filter(), table(columns, rows)))


def changes(seen: Seen, namespace: str | None) -> Markup:
    """Drift, and whether advice kept its word."""
    listed = [each for each in seen.of(namespace).listed() if _changed(each.status)]
    kept = promises(each.status for each in listed)
    judged = kept.kept + kept.broken
    share = f"{percent(kept.kept / judged, 0)} of promises kept: " if judged else ""
    said = f"{share}{kept.kept} of {judged} changes that followed our advice brought at least half of what it promised."
    lead = said if judged else "No change that followed our advice is old enough to be judged."
    if kept.done or kept.declined:
        lead += f" Owners did {kept.done} recommendations and declined {kept.declined}."
    return join(
        (
            tag("h1", "Changes"),
            tag("p", lead, class_="lead"),
            section("Efficiency that changed", _drifts(listed)),
            section("Changes that followed advice", _promised(listed)),
            section("What owners answered", _replied(listed)),
        )
    )


def _changed(status: WorkloadStatus) -> bool:
    return bool(status.drift or status.history or status.answers)


def _replied(listed: Sequence[Listed]) -> Markup:
    rows = [
        (
            link(_place(each.namespace, each.name), each.key),
            f"{reply.field} {reply.to}".rstrip(),
            reply.verdict,
            tag("span", reply.reason, class_="words"),
            percent(reply.gain, 0) if reply.gain is not None else "",
        )
        for each in listed
        for reply in replies(each.status)
    ]
    columns = ("WORKLOAD", "RECOMMENDATION", "ANSWER", "REASON", "PROMISED")
    return table(columns, rows, numeric=frozenset({"PROMISED"})) if rows else tag("p", "None is known.")


def _drifts(listed: Sequence[Listed]) -> Markup:
    rows = []
    for each in listed:
        change = last_change(each.status)
        if change:
            rows.append((link(_place(each.namespace, each.name), each.key), change.kind, change.sentence))
    return table(("WORKLOAD", "KIND", "WHAT"), rows) if rows else tag("p", "None is known.")


def _promised(listed: Sequence[Listed]) -> Markup:
    rows = [
        (
            link(_place(each.namespace, each.name), each.key),
            era.setting,
            charts.day(era.since),
            percent(era.promised, 0),
            {True: "kept", False: "not kept", None: "too early to tell"}[era.kept],
        )
        for each in listed
        for era in eras(each.status)
        if era.promised is not None
    ]
    columns = ("WORKLOAD", "SETTING", "SINCE", "PROMISED", "RESULT")
    return table(columns, rows, numeric=frozenset({"PROMISED"})) if rows else tag("p", "None is known.")


def questions(seen: Seen, namespace: str | None) -> Markup:
    """The five questions, each with its answers."""
    listed = tuple(islice(seen.of(namespace).listed(), MOST_ROWS))
    asked = [section(each.words, _answers(answers(word, listed))) for word, each in QUESTIONS.items()]
    return join((tag("h1", "Questions"), *asked))


def _answers(found: Sequence[Answer]) -> Markup:
    if not found:
        return tag("p", "Unknown: no figures that it needs have settled yet.", class_="note")
    rows = [
        (
            each.about,
            each.verdict,
            tag(
                "span",
                tag("span", each.sentence),
                *(tag("small", f"{fact.label}: {fact.value}") for fact in each.evidence),
                class_="words",
            ),
        )
        for each in found
    ]
    return table(("ABOUT", "ANSWER", "WHY"), rows)
