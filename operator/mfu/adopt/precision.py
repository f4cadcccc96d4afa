"""`spec.precision` from the switches of engines, the formats that a model's name says, and its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mfu.adopt.commands import Command
from mfu.adopt.engines import EngineKeys
from mfu.adopt.findings import Findings
from mfu.adopt.names import NamedModel

_DTYPES: Final = {"bfloat16": "BF16", "bf16": "BF16", "float16": "FP16", "half": "FP16", "fp16": "FP16", "fp32": "FP32"}
_QUANTIZATION: Final = (
    ("nvfp4", "FP4", "FP4"),
    ("modelopt_fp4", "FP4", "FP4"),
    ("mxfp4", None, "FP4"),
    ("fp8", "FP8", "FP8"),
    ("w8a8", "INT8", "INT8"),
    ("int8", None, "INT8"),
    ("awq", None, "INT4"),
    ("gptq", None, "INT4"),
    ("marlin", None, "INT4"),
    ("bitsandbytes-fp4", None, "FP4"),
    ("bitsandbytes-nf4", None, "FP4"),
    ("eetq", None, "INT8"),
)


def precision(command: Command, engine: EngineKeys, model: NamedModel | None, findings: Findings) -> None:
    dtype = command.find(*engine.at("dtype")) if engine.at("dtype") else None
    named = _dtype(str(dtype.value).lower()) if dtype else None
    if named and dtype and named != "BF16":
        findings.read("precision.compute", named, dtype.source)
    half = command.on(*engine.at("half")) if engine.at("half") else None
    if half is not None:
        findings.read("precision.compute", "FP16", half.source)
    fp8 = command.find(*engine.at("fp8")) if engine.at("fp8") else None
    if fp8 is not None and fp8.value not in (False, "none", "None"):
        findings.read("precision.compute", "FP8", fp8.source)
    _quantized(command, engine, model, findings)
    _as_published(engine, model, findings)
    cache = command.find(*engine.at("cache")) if engine.at("cache") else None
    if cache is not None and "fp8" in str(cache.value).lower():
        findings.read("precision.kvCache", "FP8", cache.source)
    if not findings.holds("precision.compute"):
        if named and dtype:
            findings.read("precision.compute", named, dtype.source)
        else:
            findings.assume("precision.compute", "BF16", "not stated; what most checkpoints and frameworks use")


def _dtype(text: str) -> str | None:
    """`bfloat16`; NeMo's recipes also `fp8_cs`, `fp8_mx` and `nvfp4`, after how values are scaled."""
    return _DTYPES.get(text) or ("FP8" if text.startswith("fp8") else "FP4" if text.startswith("nvfp4") else None)


def _quantized(command: Command, engine: EngineKeys, model: NamedModel | None, findings: Findings) -> None:
    found = command.find(*engine.at("quantization")) if engine.at("quantization") else None
    if found is not None and str(found.value).lower() not in ("", "none", "false"):
        text = str(found.value).lower()
        row = next((each for each in _QUANTIZATION if each[0] in text), None)
        if row is None and model is not None and model.formats:
            # "modelopt" and "compressed-tensors" name a tool; which format it wrote, the name of the weights says.
            _formats(dict(model.formats), f"{found.source}, and the name {model.name}", engine, findings)
            return
        if row is None:
            findings.unknown("precision.weights", f"{found.source} is no quantization that is known")
            return
        _formats(({"compute": row[1]} if row[1] else {}) | {"weights": row[2]}, found.source, engine, findings)
    elif model is not None and model.formats:
        _formats(dict(model.formats), f"the name {model.name}", engine, findings)


def _as_published(engine: EngineKeys, model: NamedModel | None, findings: Findings) -> None:
    """The formats of the published weights, where nothing says that others were made of them."""
    if model is None or not engine.serves or findings.holds("precision.weights"):
        return
    for key, value in model.published.items():
        if not findings.holds(f"precision.{key}"):
            findings.assume(f"precision.{key}", value, f"the format in which {model.name} was published")


def _formats(formats: Mapping[str, str | None], source: str, engine: EngineKeys, findings: Findings) -> None:
    for key, value in formats.items():
        if value and (engine.serves or key == "compute"):
            findings.read(f"precision.{key}", value, source)
