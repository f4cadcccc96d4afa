"""Ports on loopback that nobody else takes: neither another process of ours nor an outgoing connection."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

_SOURCE_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_FIRST_SOURCE_PORT = 32_768
_LOWEST, _FEWEST = 10_000, 2_000
# Held until this process ends: a port that was given out is a server's for as long as it may restart.
_claims: list[int] = []


def free_ports(count: int) -> list[int]:
    """Ports that are free and that no other process got from here, all different."""
    found: list[int] = []
    candidates = _candidates()
    for port in random.SystemRandom().sample(candidates, len(candidates)):
        if len(found) == count:
            break
        if _claim(port) and _is_free(port):
            found.append(port)
    return found


def _candidates() -> range:
    """Below the range from which the kernel takes source ports, where that leaves enough: a server that restarts on
    its port then never finds it taken by somebody's outgoing connection."""
    first = _first_source_port()
    return range(_LOWEST, first if first >= _LOWEST + _FEWEST else _USUAL_FIRST_SOURCE_PORT)


def _first_source_port() -> int:
    try:
        return int(_SOURCE_PORTS.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _USUAL_FIRST_SOURCE_PORT


def _claim(port: int) -> bool:
    folder = Path(tempfile.gettempdir()) / f"mfu-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    claim = os.open(folder / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(claim)
        return False
    _claims.append(claim)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
