"""A real API server takes the claims that we advise, and no word of ours afterwards: why there is no such action."""

from __future__ import annotations

from typing import Any

import pytest

from mfu.api.names import PLACEMENT_GATE
from mfu.cluster.client import JSON_PATCH, ApiError, KubeClient
from mfu.cluster.resources import PODS, RUNS_PODS, ResourcePath
from mfu.decide.fleet.device_claims import claim_template
from mfu.decide.fleet.standing import Need
from tests.builders.held import job, pods
from tests.decide.test_device_claims import ASK, grant

pytestmark = pytest.mark.integration

TEMPLATES = ResourcePath("resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate")
CLAIMS = [{"name": "gpus", "resourceClaimTemplateName": "train"}]


async def test_the_server_takes_it(client: KubeClient, space: str) -> None:
    whole = claim_template("train", ASK, [grant("NVIDIA-H200"), grant("NVIDIA-A100-SXM4-80GB")])
    sliced = claim_template("serve", Need(1, profile="1g.10gb"), [grant("NVIDIA-H100-80GB-HBM3", "1g.10gb")])
    for each in (whole, sliced):
        kept = await client.create(TEMPLATES, each, space)
        assert kept["spec"] == each["spec"] or "firstAvailable" in kept["spec"]["spec"]["devices"]["requests"][0]
    whole["spec"]["spec"]["devices"]["requests"][0]["firstAvailable"][0]["selectors"] = [{"cel": {"expression": "a b"}}]
    whole["metadata"]["name"] = "broken"
    with pytest.raises(ApiError):
        await client.create(TEMPLATES, whole, space)


async def refusal(client: KubeClient, path: str, where: str, value: Any) -> str:
    change = [{"op": "replace", "path": where, "value": value}]
    with pytest.raises(ApiError) as refused:
        await client.request("PATCH", path, body=change, content_type=JSON_PATCH)
    return str(refused.value)


async def test_nobody_can_rank_anew_what_is_there(client: KubeClient, space: str) -> None:
    """`docs/designs/0005-device-claims.md` rests on these three; a server that lets one through opens a way."""
    ranked = [grant("NVIDIA-H200"), grant("NVIDIA-A100-SXM4-80GB")]
    await client.create(TEMPLATES, claim_template("train", ASK, ranked), space)
    anew = claim_template("train", ASK, ranked[::-1])["spec"]
    assert "immutable" in await refusal(client, TEMPLATES.path(space, "train"), "/spec", anew)
    other = [{"name": "gpus", "resourceClaimTemplateName": "ours"}]
    gated = {
        "metadata": {"name": "gated"},
        **pods(0, schedulingGates=[{"name": PLACEMENT_GATE}], resourceClaims=CLAIMS),
    }
    await client.create(PODS, {"apiVersion": "v1", "kind": "Pod", **gated}, space)
    said = await refusal(client, PODS.path(space, "gated"), "/spec/resourceClaims", other)
    assert "pod updates may not change fields" in said
    await client.create(RUNS_PODS["job"], job(template=pods(0, resourceClaims=CLAIMS)), space)
    path = RUNS_PODS["job"].path(space, "train")
    assert "immutable" in await refusal(client, path, "/spec/template/spec/resourceClaims", other)
