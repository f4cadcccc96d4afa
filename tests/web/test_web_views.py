"""The page's HTML: what each view says, that text stays text, and that nothing is shown that was not given."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.api.fleetreport import FleetStatus, Undeclared
from mfu.api.workload_status import History, WorkloadStatus
from mfu.engine.packed import Packed
from mfu.web import charts, views
from mfu.web.markup import Markup, join, tag
from mfu.web.seen import Known, Rights, Seen
from mfu.web.tables import table
from mfu.web.workload import workload
from tests.builders.seen import example, many
from tests.web.hostile import hostile


class Tags(HTMLParser):
    """Names of elements and attributes as a browser would find them."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.links += [value or "" for name, value in attrs if name == "href"]


def read(markup: str) -> Tags:
    tags = Tags()
    tags.feed(markup)
    return tags


def every_view(seen: Seen) -> list[Markup]:
    made = [views.workloads(seen, None), views.fleet(seen), views.decisions(seen, None), views.changes(seen, None)]
    made.append(views.questions(seen, None))
    return [*made, *(workload(each, seen.at) for each in seen.workloads)]


def test_elements_escape_what_is_not_theirs() -> None:
    assert tag("a", "x<y", href='"#"') == '<a href="&quot;#&quot;">x&lt;y</a>'
    assert tag("p", tag("b", "1"), None, ["&", Markup("&amp;")]) == "<p><b>1</b>&amp;&amp;</p>"
    assert tag("input", class_="a", data_value=1, aria_label=None) == '<input class="a" data-value="1">'


@given(st.lists(st.text(max_size=40), max_size=5))
def test_text_stays_text(texts: list[str]) -> None:
    assert read(join(texts)).elements == set()


def test_no_text_of_a_status_becomes_an_element_or_a_script() -> None:
    seen = Seen(1_795_330_000.0, (hostile(),))
    for view in every_view(seen):
        found = read(view)
        assert not found.elements & {"script", "img", "iframe", "object", "style", "form"}
        assert not {name for name in found.attributes if name.startswith("on") or name in ("src", "style")}
        assert all(re.fullmatch(r"#[\w./?=%-]+", each) for each in found.links), found.links


def test_the_fleet_names_what_nobody_declared_and_how_to_adopt_it() -> None:
    draft = Undeclared(namespace="team", target="deployment/llm", pods=2, gpus=8, command="mfu adopt deployment/llm")
    shown = Seen(1_795_330_000.0, (), Packed.of(FleetStatus(drafts=(draft,))))
    view = views.fleet(shown)
    assert "team/deployment/llm, 8 GPUs in 2 pods" in view
    assert "<code>mfu adopt deployment/llm</code>" in view
    assert "nobody declared" not in views.fleet(replace(shown, report=Packed.of(FleetStatus())))


def test_no_view_carries_what_the_content_policy_forbids() -> None:
    for view in every_view(example()):
        assert "style" not in read(view).attributes
        assert "style" not in read(view).elements


def test_views_are_well_formed() -> None:
    for view in every_view(example()):
        closed = re.sub(r"<(input[^>]*)>", r"<\1/>", view)
        ElementTree.fromstring(f"<view>{closed}</view>")


def test_the_pictures_and_the_parts_of_gpus_are_explained() -> None:
    assert "the bar is what was observed, the line what is expected" in str(views.workloads(example(), None))
    assert " of 62.79 GPUs allocated, a MIG slice as its part of one" in str(views.fleet(example()))


def test_the_table_has_a_row_for_each_workload_and_says_what_it_leaves_out() -> None:
    view = views.workloads(many(1200), None)
    assert view.count("<tr>") == 1 + views.MOST_ROWS
    assert "The first 1000 of 1200" in view
    assert "<dd>1200</dd>" in view


def test_one_namespace_alone() -> None:
    view = views.workloads(many(40), "team-03")
    assert "Workloads of team-03" in view
    assert re.findall(r"job-\d{4}</a>", view) == ["job-0003</a>", "job-0023</a>"]


def test_the_faulty_workload_is_told_as_the_command_tells_it() -> None:
    seen = example()
    known = seen.find("team-vision", "faulty-training")
    assert known is not None
    view = workload(known, seen.at)
    for words in ("Communication · runtime loss · Provider", "not reached at run time", "Evidence: ", "GroupsTogether"):
        assert words in view


def test_an_empty_status_is_unknown_and_nothing_is_made_up() -> None:
    known = Known("team", "job", "Training", Packed.of(WorkloadStatus()))
    seen = Seen(0.0, (known,), Packed.of(FleetStatus()))
    assert views.workloads(seen, None).count("Unknown") >= 9
    assert "%" not in workload(known, 0.0)
    assert "$" not in views.fleet(seen)


def test_who_may_not_see_the_fleet_is_told_so() -> None:
    view = views.fleet(replace(example(), report=None))
    assert "may not see" in view
    assert "%" not in view


def test_rights_leave_what_they_allow() -> None:
    seen = many(40)
    assert Rights().of(seen).workloads == ()
    assert Rights().of(seen).report is None
    one = Rights(namespaces=frozenset({"team-03"})).of(seen)
    assert {each.namespace for each in one.workloads} == {"team-03"}
    assert Rights(everything=True, fleet=True).of(seen) == seen


def test_advice_that_kept_its_word_is_counted() -> None:
    rows = (
        History(after="0.4", promised="0.2", kept=True, changed_at="2026-11-22T06:00:00Z"),
        History(after="0.3", promised="0.2", kept=False, changed_at="2026-11-21T06:00:00Z"),
        History(after="0.3", promised="0.2", changed_at="2026-11-20T06:00:00Z"),
    )
    known = Known("team", "job", "Training", Packed.of(WorkloadStatus(history=rows)))
    view = views.changes(Seen(1_795_330_000.0, (known,)), None)
    assert "1 of 2 changes that followed our advice" in view
    assert view.count("too early to tell") == 1


def test_a_trend_stays_inside_its_frame() -> None:
    seen = example()
    recent = tuple((seen.at - 60.0 * minute, 0.3 + 0.001 * minute) for minute in range(59, -1, -1))
    picture = charts.trend((), recent, seen.at)
    points = re.search(r'points="([^"]+)"', picture)
    assert points is not None
    for point in points[1].split():
        x, y = map(float, point.split(","))
        assert charts.MARGIN <= x <= charts.TREND_WIDTH
        assert 0 <= y <= charts.TREND_HEIGHT


@pytest.mark.parametrize(("cell", "value"), [("$1,234.50", "1234.50"), ("41.2%", "41.2"), ("Unknown", None)])
def test_columns_of_numbers_sort_as_numbers(cell: str, value: str | None) -> None:
    found = re.search(r'data-value="([^"]+)"', table(("A",), [(cell,)], numeric=frozenset({"A"})))
    assert (found[1] if found else None) == value
