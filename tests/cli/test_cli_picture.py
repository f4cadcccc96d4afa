"""`--plot`: a picture that is well-formed, says what the table says, and keeps every word inside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mfu.cli.main import main
from mfu.cli.picture import WIDTH, curve, drawn, short

EXAMPLES = Path(__file__).parents[2] / "examples"
SVG = "{http://www.w3.org/2000/svg}"


def words(path: Path) -> list[str]:
    return [each.text or "" for each in ElementTree.parse(path).iter(f"{SVG}text")]


@pytest.fixture
def plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Path]:
    def run(*arguments: str) -> Path:
        path = tmp_path / "out.svg"
        assert main([*arguments, "--plot", str(path)]) == 0, capsys.readouterr().err
        return path

    return run


def test_serving_shows_waterfall_roofline_and_concurrency(plot: Callable[..., Path]) -> None:
    found = words(plot("predict", "-f", str(EXAMPLES / "serving-decode-heavy.yaml")))
    assert {"peak", "MFU", "roof", "predicted", "requests at once"} <= set(found)
    assert any(each.startswith("Roofline of H200-SXM") for each in found)


def test_training_shows_how_it_scales(plot: Callable[..., Path]) -> None:
    found = words(plot("predict", "-f", str(EXAMPLES / "dense-training.yaml")))
    assert "More GPUs, the same global batch" in found and not any("Roofline" in each for each in found)


@pytest.mark.slow
def test_a_plan_shows_choices_and_today(plot: Callable[..., Path]) -> None:
    found = words(plot("plan", "-f", str(EXAMPLES / "dense-training.yaml"), "--gpus", "8,16"))
    assert any(each.startswith("today: 8 × ") for each in found) and "How the best setting scales" in found


def test_a_name_that_is_no_svg_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "-f", str(EXAMPLES / "dense-training.yaml"), "--plot", "out.png"]) == 2
    assert "writes SVG" in capsys.readouterr().err


def test_points_stay_inside_and_words_are_escaped() -> None:
    panel = curve("a < b", ("x", "y"), {"one": [(1.0, 3.0), (1000.0, 5.0)]})
    root = ElementTree.fromstring(drawn("t & u", [panel]))
    numbers = [float(each.get("x") or 0.0) for each in root.iter(f"{SVG}text")]
    assert all(0.0 <= each <= WIDTH for each in numbers)
    assert "a < b" in [each.text for each in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("value,said", [(2.5e12, "2.5T"), (1024.0, "1,024"), (30_400.0, "30.4k"), (8.0, "8")])
def test_short_numbers(value: float, said: str) -> None:
    assert short(value) == said
