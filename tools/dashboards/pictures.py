"""Which pictures of which dashboards the docs show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Picture:
    """`variables` are chosen values of the dashboard's variables; those that are not named stand at their default."""

    name: str
    dashboard: str
    fleet: str
    dark: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)


PICTURES: Final = (
    Picture("grafana-provider", "mfu-provider", "demo", dark=True),
    Picture("grafana-tenant", "mfu-tenant", "demo", variables={"namespace": "team-vision"}),
    Picture(
        "grafana-workload",
        "mfu-workload",
        "demo",
        dark=True,
        variables={"namespace": "team-vision", "workload": "faulty-training"},
    ),
    Picture("grafana-hardware", "mfu-hardware", "demo"),
    Picture("grafana-provider-500", "mfu-provider", "500"),
    Picture("grafana-tenant-500", "mfu-tenant", "500", dark=True, variables={"namespace": "team-03"}),
    Picture("grafana-hardware-500", "mfu-hardware", "500", dark=True),
)
