"""How kopf runs in our processes."""

from __future__ import annotations

from collections.abc import Iterable

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
    settings.persistence.diffbase_storage = NothingKept()


class NothingKept(kopf.DiffBaseStorage):
    """Our handlers are told of each event as it is; what kopf would copy of every object, to compare it, is for
    handlers of differences, and we have none."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[kopf.FieldSpec] | None = None) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        return None
