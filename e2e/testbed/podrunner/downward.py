"""The downward API: what a pod can learn of itself."""

from __future__ import annotations

import re

from e2e.testbed.podrunner.fields import Document, UnsupportedField

# The process runs on this machine, whatever address KWOK has given to the pod.
_LOCAL_ADDRESS = "127.0.0.1"
_KEYED = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


def downward_value(pod: Document, path: str) -> str:
    """Value of a `fieldRef.fieldPath`; raises UnsupportedField for one that is not known."""
    metadata, spec = pod["metadata"], pod["spec"]
    keyed = _KEYED.fullmatch(path)
    if keyed:
        return str(metadata.get(keyed[1], {}).get(keyed[2], ""))
    known = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata.get("uid", ""),
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.podIP": _LOCAL_ADDRESS,
        "status.hostIP": _LOCAL_ADDRESS,
    }
    if path not in known:
        raise UnsupportedField(f"fieldRef {path}", "not supported by the pod runner")
    return str(known[path])
