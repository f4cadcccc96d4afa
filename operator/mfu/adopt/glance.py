"""One line on what a pod seems to run: enough to tell whether adopting it is worth a look."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from mfu.adopt.draft import Draft, adopt
from mfu.hardware.labels import WHOLE
from mfu.memo import memo

MOST_CHARACTERS: Final = 120
MOST_BYTES: Final = 64 * 1024
"""Of a pod's containers: what is longer is no command line that somebody wrote."""
_PARTS: Final = ("name", "image", "command", "args", "resources")


def seems(spec: Mapping[str, Any]) -> str:
    """Such as `vLLM 0.11.0 serves llama-3.3-70b`; the image where nothing of it is known, "" without one.

    Environment is left out: it is where secrets are. Pods of one template are read once.
    """
    containers = [_shown(each) for each in spec.get("containers") or () if isinstance(each, Mapping)]
    text = json.dumps(containers, sort_keys=True, default=str)
    return _seems(text) if len(text) <= MOST_BYTES else ""


def _shown(container: Mapping[str, Any]) -> dict[str, Any]:
    return {key: container[key] for key in _PARTS if key in container}


@memo(most=4096)
def _seems(text: str) -> str:
    containers = json.loads(text)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": {"containers": containers}}
    try:
        drafts = adopt([pod]) or adopt([_asking(pod)])
    except Exception:
        # Somebody's command line, of whatever shape, must not cost the pod itself.
        drafts = ()
    said = _said(drafts[0]) if drafts else ""
    return (said or _image(containers))[:MOST_CHARACTERS]


def _asking(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same where an annotation asks for its GPUs: of its first container, as schedulers read it."""
    first, *others = pod["spec"]["containers"]
    asking = {**first, "resources": {"limits": {WHOLE: "1"}}}
    return {**pod, "spec": {"containers": [asking, *others]}}


def _said(draft: Draft) -> str:
    spec = draft.document["spec"]
    runtime = spec.get("runtime") or {}
    if not runtime.get("engine"):
        return ""
    engine = " ".join(filter(None, (str(runtime["engine"]), str(runtime.get("version") or ""))))
    verb = "serves" if spec.get("mode") == "Inference" else "trains"
    return f"{engine} {verb} {_model(draft)}"


def _model(draft: Draft) -> str:
    block = draft.document["spec"].get("model") or {}
    named = block.get("preset") or block.get("name")
    if named:
        return str(named)
    called = next((each.named for each in draft.lines if each.field == "model" and each.named), "")
    return called or "a model that its arguments do not name"


def _image(containers: list[Mapping[str, Any]]) -> str:
    asking = next((each for each in containers if "gpu" in json.dumps(each.get("resources", ""))), None)
    chosen = asking or (containers[0] if containers else {})
    image = str(chosen.get("image", ""))
    return f"image {image}" if image else ""
