"""Who the tenant's guide says can mend a cause is who the diagnosis names, over every planted fault."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from mfu.api.causes import Actor, Cause
from mfu.observe.assess import assess
from mfu.observe.assessment import Finding
from mfu.predict import predict
from mfu.predict.types import Prediction
from tests.builders.fault_catalog import every_run
from tests.builders.faults import DATA, Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason="shared recordings are not here"),
]
GUIDE = (Path(__file__).parents[2] / "docs" / "guide-tenant.md").read_text()
WORDS = {Actor.TENANT: "you", Actor.PROVIDER: "provider"}


def test_the_guide_names_those_who_can_mend_it() -> None:
    table = GUIDE.split("### Causes")[1].split("\n## ")[0]
    said = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]*)\|$", table, re.MULTILINE))
    named = _named_actors()
    assert len(named) >= 12
    for cause, actors in named.items():
        assert {WORDS[actor] for actor in actors} <= set(re.findall(r"\w+", said[cause])), cause


def _named_actors() -> dict[Cause, set[Actor]]:
    named: dict[Cause, set[Actor]] = defaultdict(set)
    for run in every_run():
        for finding in _findings(run):
            named[finding.cause].add(finding.actor)
    return named


def _findings(run: Run) -> tuple[Finding, ...]:
    answer = None if run.setup is None else predict(run.setup, run.placement)
    expected = answer if isinstance(answer, Prediction) else None
    now = float(run.series.times[-1])
    return assess(
        run.setup, run.placement, expected=expected, attainable=run.attainable, series=run.series, now=now
    ).findings
