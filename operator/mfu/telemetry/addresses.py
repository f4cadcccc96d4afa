"""Which addresses a pod's own metrics may be read from. A pod's status is its kubelet's word, not ours."""

from __future__ import annotations

from collections.abc import Container
from ipaddress import IPv4Address, IPv6Address, ip_address


def refusal(address: str, *, host_network: bool, host_allowed: bool, nodes: Container[str]) -> str | None:
    """Why this address is not read, None where it may be.

    Loopback and link-local addresses (the cloud's metadata service is one) never are. A node's own address, and a pod
    on its node's network, only where `host_allowed`: behind it stand the kubelet and whatever else the node runs.
    """
    parsed = _parsed(address)
    if parsed is None:
        return f"{address!r} is no address"
    if parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified or parsed.is_multicast:
        return f"{address} is no address of a pod"
    if host_allowed:
        return None
    if host_network:
        return "it is on its node's network: list its namespace in progress.hostNetworkNamespaces to read it"
    return f"{address} is a node's address" if str(parsed) in nodes else None


def is_plain(address: str) -> bool:
    """May it be an address of a pod at all?"""
    return refusal(address, host_network=False, host_allowed=True, nodes=()) is None


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(address)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        inside = found.ipv4_mapped or found.sixtofour
        return inside or (None if found.scope_id else found)
    return found
