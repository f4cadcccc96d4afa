"""What all API types share: camelCase names with initialisms kept capital, immutability, and bounded scalars.

Every integer, string and list of the API has a bound: without one the API server's CEL cost estimator refuses the CRD.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_INITIALISMS: Final = {
    "cv": "CV",
    "ffn": "FFN",
    "gpu": "GPU",
    "gpus": "GPUs",
    "hfu": "HFU",
    "id": "ID",
    "kv": "KV",
    "mbu": "MBU",
    "mfu": "MFU",
    "pflop": "PFLOP",
    "mig": "MIG",
    "moe": "MoE",
    "nvlink": "NVLink",
    "numa": "NUMA",
    "pcie": "PCIe",
    "sd": "SD",
    "sm": "SM",
    "slo": "SLO",
    "uuid": "UUID",
    "xid": "XID",
}


def api_name(field: str) -> str:
    """Python field name to API name: `expected_mfu` is `expectedMFU`, `per_gpu_hour` is `perGPUHour`.

    The first word is lower case whole, as Kubernetes does it (`podIP`, but `uid`): `mfu` stays `mfu`.
    """
    first, *rest = field.rstrip("_").split("_")
    return first + "".join(_INITIALISMS.get(word, word.capitalize()) for word in rest)


class Resource(BaseModel):
    """Base of every API type. Immutable; read by API name or Python name.

    Unknown fields are ignored in what a server sends (a newer version may have written them) and refused by
    `mfu.api.files` in what people write.
    """

    model_config = ConfigDict(
        alias_generator=api_name,
        validate_by_name=True,
        validate_by_alias=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        ser_json_inf_nan="strings",
    )

    def to_api(self) -> dict[str, Any]:
        """Plain JSON value with API names; unknown (None) fields are left out, never written as null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


INT32_MAX: Final = 2**31 - 1

Generation = Annotated[int, Field(ge=0, le=2**53)]
Name = Annotated[str, Field(min_length=1, max_length=253)]
Word = Annotated[str, Field(max_length=64)]
ShortText = Annotated[str, Field(max_length=256)]
LongText = Annotated[str, Field(max_length=2048)]
Timestamp = Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})]
_RFC3339: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")


def _rfc3339(text: str) -> str:
    try:
        if _RFC3339.fullmatch(text):
            datetime.fromisoformat(text.upper())
            return text
    except ValueError:
        pass
    raise ValueError("write a moment with its zone (RFC 3339), such as 2026-12-01T18:00:00Z")


Moment = Annotated[Timestamp, AfterValidator(_rfc3339)]
"""A timestamp that people write: read as strictly here as at the API server."""
Decimal = Annotated[str, Field(max_length=24, pattern=r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$")]
"""A number as a decimal string: the API has no floats. Fractions are 0–1, never percent."""
Share = Annotated[int, Field(ge=0, le=100)]


def list_map(*keys: str, bound: int) -> Any:
    """A list that the API server merges by key and that holds at most `bound` entries."""
    extra: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
    return Field(max_length=bound, json_schema_extra=extra)
