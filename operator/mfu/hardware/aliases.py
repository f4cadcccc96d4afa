"""GPU names as published data sets write them ("H100-SXM-80GB", "GB200 (NVL72)", "A100-40"). Never used for telemetry.

A name must hold exactly one product family as a whole word. Form factor and memory size then pick the product; where a
name leaves both out, the family's default is the server product that publications mean by the bare name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

from mfu.hardware.catalog_data import gpus
from mfu.hardware.types import GPU, Unmatched

_RULES: dict[str, tuple[tuple[frozenset[str], str], ...]] = {}


def _family(name: str, default: str, **variants: str) -> None:
    rules = [(frozenset(words.split("_")), key) for words, key in variants.items()]
    _RULES[name] = (*rules, (frozenset(), default))


_family("v100", "v100-sxm2-32gb", pcie_16gb="v100-pcie-16gb", pcie="v100-pcie-32gb", **{"16gb": "v100-sxm2-16gb"})
_family("t4", "t4")
_family("a10", "a10")
_family("a10g", "a10g")
_family("a30", "a30")
_family("a40", "a40")
_family(
    "a100",
    "a100-sxm4-80gb",
    pcie_40gb="a100-pcie-40gb",
    pcie="a100-pcie-80gb",
    **{"40gb": "a100-sxm4-40gb", "64gb": "a100-sxm-64gb"},
)
_family("a800", "a800-sxm4-80gb")
_family("l4", "l4")
_family("l40", "l40")
_family("l40s", "l40s")
_family(
    "h100",
    "h100-sxm5-80gb",
    pcie="h100-pcie-80gb",
    nvl="h100-nvl-94gb",
    **{"94gb": "h100-nvl-94gb", "64gb": "h100-sxm5-64gb", "96gb": "h100-sxm5-96gb"},
)
_family("h800", "h800-sxm5-80gb")
_family("h200", "h200-sxm-141gb", nvl="h200-nvl-141gb")
_family("h20", "h20-96gb", **{"141gb": "h20-3e-141gb", "3e": "h20-3e-141gb"})
_family("gh200", "gh200-96gb", **{"141gb": "gh200-144gb", "144gb": "gh200-144gb"})
_family("b100", "b100")
_family("b200", "b200-sxm")
_family("gb200", "gb200")
_family("b300", "b300-sxm")
_family("gb300", "gb300")
_family("l20", "l20")
_family("a2", "a2")
_family("a16", "a16")
_family("a6000", "rtx-a6000")
_family("3090", "rtx-3090", ti="rtx-3090-ti")
_family("4090", "rtx-4090", d="rtx-4090-d")
_family("5090", "rtx-5090")
_family("mi210", "mi210")
_family("mi300a", "mi300a")
_family("mi308x", "mi308x")
_family("mi350x", "mi350x")
_family("mi250x", "mi250x")
_family("mi250", "mi250x")
_family("mi300x", "mi300x")
_family("mi325x", "mi325x")
_family("mi355x", "mi355x")

_WORKSTATION = ((("rtx", "pro", "6000"), "rtx-pro-6000-bw-server"), (("rtx", "6000", "ada"), "rtx-6000-ada"))
_GLUED = re.compile(r"(sxm\d?|pcie|nvl\d*)")
_COUNT_BEFORE = re.compile(r"\b\d+\s*[x×]\s*(?=[a-z])")
_COUNT_AFTER = re.compile(r"(?:(?<=\d)|\s)[x×]\s*\d+\b")
_BARE_MEMORY = re.compile(r"\b([a-z]+\d+)-(\d{2,3})\b(?!-?[a-z])")
"""A100-40: digits behind a hyphen are gigabytes; elsewhere they may be a count of GPUs."""
_MEMORY = re.compile(r"^(\d+)(?:g|gb|gib)$")


def dataset_gpu(name: str) -> GPU | Unmatched:
    """The product a data set means. `dataset_gpu("H100-SXM-80GB").key == "h100-sxm5-80gb"`; else Unmatched."""
    key = dataset_key(name)
    if key is not None:
        return gpus()[key]
    return Unmatched(name, tuple(get_close_matches(name.lower(), sorted(_RULES), n=3, cutoff=0.3)))


def dataset_key(name: str) -> str | None:
    """Catalog key of a data set's GPU name, None where it names no product or more than one."""
    words = frozenset(_words(name))
    found = {key for needed, key in _WORKSTATION if words.issuperset(needed)}
    found |= {_pick(family, words) for family in words & _RULES.keys()}
    return found.pop() if len(found) == 1 else None


def _pick(family: str, words: frozenset[str]) -> str:
    return next(key for needed, key in _RULES[family] if needed <= words)


def _words(name: str) -> Iterator[str]:
    text = _COUNT_AFTER.sub(" ", _COUNT_BEFORE.sub(" ", name.lower()))
    text = _GLUED.sub(r" \1 ", _BARE_MEMORY.sub(r"\1 \2gb", text))
    for word in re.findall(r"[a-z0-9]+", text):
        memory = _MEMORY.match(word)
        yield f"{memory[1]}gb" if memory else word
