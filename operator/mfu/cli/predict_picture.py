"""The picture of `mfu predict --plot`: where the peak goes, the roofline, and how it scales."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from mfu.cli import picture
from mfu.cli.declaration import Declaration
from mfu.cli.picture import Panel
from mfu.hardware.catalog import device_bandwidth, device_peak
from mfu.predict import predict
from mfu.predict.types import Inference, Placement, Prediction, Training

Placed = tuple[Placement, Prediction]


def plot(path: str, declaration: Declaration, rows: Sequence[Placed]) -> None:
    """The first product's waterfall and roofline, and how every product scales."""
    placement, prediction = rows[0]
    device, product = placement.device, placement.device.label
    peak = device_peak(device, declaration.setup.precisions.compute) or 0.0
    roof = picture.roofline(product, peak, device_bandwidth(device), prediction)
    scaling = _scaling(declaration, rows)
    panels = [picture.waterfall(product, prediction), *([roof] if roof else []), *([scaling] if scaling else [])]
    title = f"{declaration.name}: {declaration.spec.model.display_name} on {placement.gpus} × {product}"
    picture.write(path, title, panels)


def _scaling(declaration: Declaration, rows: Sequence[Placed]) -> Panel | None:
    """Serving: tokens/s over requests at once. Training: MFU as data parallelism doubles under the same batch."""
    setup = declaration.setup
    series = {}
    for placement, _ in rows[:_MOST_LINES]:
        steps = _served(setup, placement) if isinstance(setup, Inference) else _grown(setup, placement)
        points = [(x, y) for x, y in steps if y > 0]
        if len(points) > 1:
            series[placement.device.label] = points
    if not series:
        return None
    if isinstance(setup, Inference):
        return picture.curve("More requests at once", ("requests at once", "tokens/s/GPU"), series)
    return picture.curve("More GPUs, the same global batch", ("GPUs", "MFU, %"), series)


def _served(setup: Inference, placement: Placement) -> Iterator[tuple[float, float]]:
    for power in range(12):
        found = predict(replace(setup, concurrency=2.0**power), placement)
        if isinstance(found, Prediction) and (found.concurrency or 0.0) >= 2.0**power:
            yield 2.0**power, found.tokens_per_s_per_gpu


def _grown(setup: Training, placement: Placement) -> Iterator[tuple[float, float]]:
    for times in (1, 2, 4, 8, 16):
        cut = replace(setup.parallelism, data=setup.parallelism.data * times)
        found = predict(replace(setup, parallelism=cut), replace(placement, gpus=placement.gpus * times))
        if isinstance(found, Prediction):
            yield float(placement.gpus * times), 100.0 * found.mfu


_MOST_LINES = 6
