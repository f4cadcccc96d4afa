"""Every Grafana dashboard that the chart ships. `gen_dashboards` writes them out."""

from __future__ import annotations

from typing import Final

from tools.generate.boards.fleet import FLEET
from tools.generate.boards.hardware import HARDWARE_HEALTH
from tools.generate.boards.namespace import NAMESPACE
from tools.generate.boards.workload import WORKLOAD

DASHBOARDS: Final = (FLEET, NAMESPACE, WORKLOAD, HARDWARE_HEALTH)
