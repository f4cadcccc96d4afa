"""Free ports on loopback."""

from __future__ import annotations

import random
import socket

# Below the range from which Linux takes source ports (32768 and up): a server that restarts on its port
# then never finds it taken by somebody's outgoing connection.
_RANGE = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    found: list[int] = []
    candidates = iter(random.SystemRandom().sample(_RANGE, len(_RANGE)))
    while len(found) < count:
        port = next(candidates)
        if _is_free(port):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
