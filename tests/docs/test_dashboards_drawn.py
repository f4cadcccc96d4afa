"""What can be held of the drawn dashboards without npm: that all they use is drawn, and that each has its pictures."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.dashboards.fleets import demo, large
from tools.dashboards.pictures import PICTURES
from tools.draw_dashboards import PAGE, WIDTH
from tools.generate.dashboards import DASHBOARDS
from tools.generate.gen_dashboards import TARGET

DOCS = Path(__file__).parents[2] / "docs"
PAGE_OF_DOCS = (DOCS / "dashboards.md").read_text()
MOST_BYTES = 400_000
UNITS = {"percentunit", "currencyUSD", "none", "s"}
"""Ids of Grafana's own units; MFU is a fraction, which percentunit shows as per cent."""
TRANSFORMATIONS = {"merge", "filterFieldsByName", "organize"}
"""In every Grafana since 9, and in its published data package."""
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(TARGET.glob("*.json"))}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in board["panels"] if each["type"] != "row"]


def every_unit(panel: dict[str, Any]) -> Iterator[str]:
    yield panel["fieldConfig"]["defaults"]["unit"]
    for override in panel["fieldConfig"]["overrides"] or ():
        yield from (each["value"] for each in override["properties"] if each["id"] == "unit")


def every_link(board: dict[str, Any]) -> Iterator[str]:
    yield from (each["url"] for each in board["links"])
    for panel in panels(board):
        for override in panel["fieldConfig"]["overrides"] or ():
            for each in override["properties"]:
                if each["id"] == "links":
                    yield from (link["url"] for link in each["value"])


@pytest.mark.parametrize("uid", BOARDS)
def test_the_page_draws_every_kind_of_panel(uid: str) -> None:
    kinds = re.search(r"export const KINDS = \{(.*)\}", (PAGE / "src" / "kinds.jsx").read_text())
    assert kinds is not None
    assert {each["type"] for each in panels(BOARDS[uid])} <= set(re.findall(r"(\w+):", kinds[1]))


@pytest.mark.parametrize("uid", BOARDS)
def test_units_and_transformations_are_grafanas_own(uid: str) -> None:
    for panel in panels(BOARDS[uid]):
        assert set(every_unit(panel)) <= UNITS, panel["title"]
        assert {each["id"] for each in panel.get("transformations") or ()} <= TRANSFORMATIONS, panel["title"]


@pytest.mark.parametrize("uid", BOARDS)
def test_every_panel_says_what_it_answers_under_a_title_that_fits(uid: str) -> None:
    for panel in panels(BOARDS[uid]):
        assert panel["description"].endswith((".", "?")), panel["title"]
        assert len(panel["title"]) <= 2.5 * panel["gridPos"]["w"] + 16, panel["title"]


@pytest.mark.parametrize("uid", BOARDS)
def test_numbers_and_bars_have_colours_of_their_own(uid: str) -> None:
    """Grafana's default turns red above 80 of anything: dollars, GPUs."""
    for panel in panels(BOARDS[uid]):
        if panel["type"] in ("stat", "bargauge"):
            assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"], panel["title"]
        if panel["type"] == "timeseries":
            assert panel["options"]["legend"]["showLegend"], panel["title"]


@pytest.mark.parametrize("uid", BOARDS)
def test_variables_are_there_and_links_lead_to_dashboards(uid: str) -> None:
    board = BOARDS[uid]
    names = {each["name"] for each in board["templating"]["list"]}
    told = json.dumps([each["targets"] for each in panels(board)]) + json.dumps(board["templating"])
    assert set(re.findall(r"\$\{?([a-z]\w+)", told)) <= names
    for url in every_link(board):
        assert url.removeprefix("/d/").partition("?")[0] in BOARDS, url
        assert set(re.findall(r"\$\{([a-z]\w+)\}", url)) <= names, url


def test_every_dashboard_has_its_pictures_and_the_docs_show_them_all() -> None:
    assert {each.dashboard for each in PICTURES} == set(BOARDS) == {each.uid for each in DASHBOARDS}
    shown = re.findall(r"\]\(images/(.*?)\.png\)", PAGE_OF_DOCS)
    assert shown == [each.name for each in PICTURES]
    assert {path.stem for path in (DOCS / "images").glob("grafana-*.png")} == set(shown)


@pytest.mark.parametrize("name", [each.name for each in PICTURES])
def test_a_picture_is_as_wide_as_it_was_drawn_and_not_heavy(name: str) -> None:
    picture = (DOCS / "images" / f"{name}.png").read_bytes()
    width, height = struct.unpack(">II", picture[16:24])
    assert picture.startswith(b"\x89PNG") and width == WIDTH and height > 600
    assert len(picture) < MOST_BYTES


def test_pictures_name_variables_of_their_dashboards_and_what_runs_there() -> None:
    fleets = {"demo": demo(), "500": large()}
    for each in PICTURES:
        names = {one["name"] for one in BOARDS[each.dashboard]["templating"]["list"]}
        assert set(each.variables) <= names
        running = {(one.namespace, one.name) for one in fleets[each.fleet].workloads}
        if "workload" in each.variables:
            assert (each.variables["namespace"], each.variables["workload"]) in running
        elif each.variables:
            assert each.variables["namespace"] in {namespace for namespace, _ in running}


def test_the_large_fleet_is_as_large_as_the_docs_say() -> None:
    fleet = large()
    assert len(fleet.workloads) == 500
    assert len({each.namespace for each in fleet.workloads}) == 20
    gpus = 8 * sum(int(count) for count in re.findall(r"=(\d+)", fleet.nodes))
    assert f"{gpus:,} GPUs" in PAGE_OF_DOCS


def test_the_lock_holds_every_package_by_hash_and_names_no_host() -> None:
    text = (PAGE / "package-lock.json").read_text()
    packages = {name: each for name, each in json.loads(text)["packages"].items() if name}
    assert all(each["integrity"].startswith("sha512-") for each in packages.values())
    assert "http" not in "".join(json.dumps(each.get("resolved", "")) for each in packages.values())
    wanted = json.loads((PAGE / "package.json").read_text())
    for name, version in {**wanted["dependencies"], **wanted["devDependencies"]}.items():
        assert packages[f"node_modules/{name}"]["version"] == version
