"""Which programs are put side by side: unequal ones above all, each kind beside those that want the same or another."""

from __future__ import annotations

from typing import Final

CORE: Final = ("train-healthy", "train-tiny", "decode-b64", "decode-b1", "decode-b8-idle", "train-starved")
LAUNCH: Final = ("mlp", "eager", "eager-small", "recurrent", "gaps", "train-brief")
MEMORY: Final = ("elementwise", "embedding")
COMPUTE: Final = ("gemm", "gemm-mid", "conv")
WAITS: Final = ("conv-idle", "eager-idle", "train-brief-idle", "gemm-idle")
BESIDE_LAUNCH: Final = ("train-healthy", "decode-b64", "decode-b1", "gemm", "elementwise", "train-tiny")
BESIDE_REST: Final = ("train-healthy", "train-tiny", "decode-b64", "decode-b1")
TWINS: Final = (
    "mlp",
    "eager",
    "recurrent",
    "gaps",
    "train-brief",
    "elementwise",
    "gemm",
    "gemm-mid",
    "conv",
    "conv-idle",
)
MORE: Final = (
    ("train-healthy", "train-rare"),
    ("decode-b64", "train-rare"),
    ("train-tiny", "train-rare"),
    ("mlp", "eager"),
    ("mlp", "recurrent"),
    ("eager", "recurrent"),
    ("mlp-wide", "decode-b1"),
    ("mlp-wide", "train-healthy"),
    ("gemm", "gemm-mid"),
    ("gemm", "conv"),
    ("conv", "elementwise"),
    ("conv", "embedding"),
    ("gemm-mid", "elementwise"),
    ("gemm-mid", "embedding"),
)
REPEATED: Final = "train-tiny"
REPEATED_BESIDE: Final = (
    "train-tiny",
    "train-healthy",
    "decode-b64",
    "decode-b1",
    "decode-b8-idle",
    "train-starved",
    "gaps",
)
PACED_UNLIKE: Final = ("train-tiny", "train-mini", "train-xl")
"""Alone again before the pairs of each mode, for hosts drift."""
UNLIKE: Final = (
    ("train-big", "decode-trickle"),
    ("train-big", "decode-7b-calm"),
    ("train-big", "train-mini"),
    ("train-xl", "decode-b128"),
    ("train-xl", "decode-mini"),
    ("train-waits", "decode-7b-long-idle"),
    ("train-waits", "decode-b128"),
    ("train-mini", "decode-7b-calm"),
    ("train-mini", "train-mini"),
    ("train-long", "decode-b128"),
    ("train-long", "decode-mini"),
    ("decode-7b-calm", "decode-7b-long-idle"),
    ("decode-b128", "decode-mini"),
    ("decode-trickle", "decode-7b-long-idle"),
    ("train-big", "train-xl"),
    ("train-xl", "train-waits"),
    ("train-mini", "decode-mini"),
    ("train-long", "train-waits"),
    *(("train-tiny", each) for each in CORE),
    *(("train-rare", each) for each in ("decode-b1", "decode-b8-idle", "train-starved", "train-rare")),
)
"""Trainings and decodes of sizes that no other recording has; those that a host paces; and what hardly ever works."""


def pairs() -> list[tuple[str, str]]:
    """Those of the core first: a run that is out of time loses the others."""
    found = [(first, second) for index, first in enumerate(CORE) for second in CORE[index:]]
    found += [(beside, each) for beside in BESIDE_LAUNCH for each in LAUNCH]
    found += [(beside, each) for beside in BESIDE_REST for each in (*COMPUTE, *MEMORY, *WAITS)]
    return [*found, *((each, each) for each in TWINS), *MORE]


def paced_pairs() -> list[tuple[str, str]]:
    """Programs that their hosts pace, beside each other and beside what fills the GPU."""
    paced = ("train-tiny", *LAUNCH)
    found = [(beside, each) for beside in ("train-healthy", "decode-b64", "decode-b1") for each in paced]
    found += [(each, each) for each in paced]
    return [*found, ("mlp", "eager"), ("train-tiny", "eager"), ("train-tiny", "recurrent"), ("train-tiny", "mlp")]
