"""How kopf runs in our processes."""

from __future__ import annotations

import kopf

from mfu.api.names import GROUP


def configure(settings: kopf.OperatorSettings) -> None:
    """No peering (we hold a Lease), no scanning (no rights needed), no events, bounded patience with the network."""
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 600
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = (0.5, 1, 2, 5, 10, 20, 30)
    settings.queueing.idle_timeout = 0.5
    settings.queueing.exit_timeout = 2
    settings.persistence.finalizer = f"{GROUP}/unused"
