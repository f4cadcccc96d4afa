"""A real API server takes the claims that we advise: it compiles their expressions."""

from __future__ import annotations

import pytest

from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.resources import ResourcePath
from mfu.decide.fleet.device_claims import claim_template
from mfu.decide.fleet.standing import Need
from tests.decide.test_device_claims import ASK, grant

pytestmark = pytest.mark.integration

TEMPLATES = ResourcePath("resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate")


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
