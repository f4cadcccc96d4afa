"""Command lines of the control plane's programs. Each flag that is not obvious says why it is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

KWOK_CONFIG = Path(__file__).with_name("kwok.yaml")
KWOK_NODE_ANNOTATION = "kwok.x-k8s.io/node=fake"
_ISSUER = "https://kubernetes.default.svc.cluster.local"

Command = list[str | Path]


@dataclass(frozen=True, slots=True)
class Files:
    """Where one control plane keeps its things below `root`."""

    root: Path

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def etcd_data(self) -> Path:
        return self.root / "etcd"

    @property
    def certificates(self) -> Path:
        return self.root / "certificates"

    @property
    def serving_certificate(self) -> Path:
        """What the API server made for itself: its certificate and the CA that signed it, in one file."""
        return self.certificates / "apiserver.crt"

    @property
    def tokens(self) -> Path:
        return self.root / "tokens.csv"

    @property
    def front_proxy(self) -> Path:
        return self.root / "front-proxy"

    @property
    def signing_key(self) -> Path:
        return self.root / "service-accounts.key"

    @property
    def kubectl_cache(self) -> Path:
        return self.root / "kubectl-cache"

    def kubeconfig_of(self, api_server: str) -> Path:
        return self.root / f"{api_server}.kubeconfig"


def etcd(binary: Path, files: Files, *, client_port: int, peer_port: int) -> Command:
    """A single member on loopback."""
    client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    return [
        binary,
        f"--data-dir={files.etcd_data}",
        "--name=mfu",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=mfu={peer}",
        "--unsafe-no-fsync",  # the data need not survive a power cut
        "--log-level=warn",
    ]


def api_server(
    binary: Path, files: Files, *, port: int, etcd_port: int, service_accounts: bool, aggregation: bool = False
) -> Command:
    """An API server that makes its own serving certificate.

    `service_accounts`: whether pods need one; only a controller manager creates the default ones. `aggregation`: it
    proves who it is to servers of other APIs, with the pair of `Files.front_proxy`.
    """
    command: Command = [
        binary,
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={files.certificates}",
        f"--token-auth-file={files.tokens}",
        "--authorization-mode=RBAC",
        f"--service-account-issuer={_ISSUER}",
        f"--service-account-key-file={files.signing_key}",
        f"--service-account-signing-key-file={files.signing_key}",
        "--service-cluster-ip-range=10.0.0.0/24",
        # Nothing reaches the API server through the kubernetes Service here; two servers would fight over it.
        "--endpoint-reconciler-type=none",
        "--allow-privileged=true",
        "--profiling=false",
    ]
    if aggregation:
        command += _aggregation(files)
    return command if service_accounts else [*command, "--disable-admission-plugins=ServiceAccount"]


def _aggregation(files: Files) -> Command:
    # The names of the headers have no defaults: without them every caller is nobody.
    return [
        f"--requestheader-client-ca-file={files.front_proxy / 'front-proxy-ca.crt'}",
        "--requestheader-allowed-names=front-proxy-client",
        f"--proxy-client-cert-file={files.front_proxy / 'front-proxy-client.crt'}",
        f"--proxy-client-key-file={files.front_proxy / 'front-proxy-client.key'}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    ]


def controller_manager(binary: Path, files: Files, *, kubeconfig: Path) -> Command:
    """All default controllers, without leader election: there is one."""
    return [
        binary,
        f"--kubeconfig={kubeconfig}",
        f"--root-ca-file={files.serving_certificate}",
        f"--service-account-private-key-file={files.signing_key}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        # On a busy machine KWOK's heartbeats come late; a node must not be lost for that.
        "--node-monitor-grace-period=120s",
        # A HorizontalPodAutoscaler that takes seconds where a cluster's takes minutes.
        "--horizontal-pod-autoscaler-sync-period=2s",
        "--horizontal-pod-autoscaler-downscale-stabilization=6s",
    ]


def scheduler(binary: Path, *, kubeconfig: Path) -> Command:
    """The default scheduler, without leader election."""
    return [
        binary,
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]


def kwok(binary: Path, *, kubeconfig: Path) -> Command:
    """KWOK for annotated nodes only: with --manage-all-nodes it would take over the real nodes of a cluster."""
    return [
        binary,
        f"--kubeconfig={kubeconfig}",
        f"--config={KWOK_CONFIG}",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-annotation-selector={KWOK_NODE_ANNOTATION}",
        "--node-ip=127.0.0.1",
        "--cidr=10.64.0.0/10",
        "--node-lease-duration-seconds=40",
    ]
