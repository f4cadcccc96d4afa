"""The version stands in `mfu.__version__`; the chart and the image repeat it."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import yaml

import mfu

ROOT = Path(__file__).parents[2]


def test_the_package_the_chart_and_the_image_have_one_version() -> None:
    chart = yaml.safe_load((ROOT / "charts" / "mfu-operator" / "Chart.yaml").read_text())
    image = re.search(r"^ARG VERSION=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert image is not None
    assert {version("mfu"), chart["version"], chart["appVersion"], image[1]} == {mfu.__version__}
