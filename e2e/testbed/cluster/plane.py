"""The local control plane: starts its programs in order, hands out access, ends them in reverse."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from e2e.testbed.cluster import servers
from e2e.testbed.cluster.apiserver import ApiServer
from e2e.testbed.cluster.binaries import Progress, ensure_binaries
from e2e.testbed.cluster.certificates import Authority
from e2e.testbed.cluster.client import ClusterAccess
from e2e.testbed.cluster.credentials import write_signing_key, write_token_file
from e2e.testbed.cluster.folder import RunFolder
from e2e.testbed.cluster.pins import API_SERVER_ONLY
from e2e.testbed.cluster.ports import free_ports
from e2e.testbed.cluster.process import Child, StartFailed
from e2e.testbed.cluster.waiting import wait_until

_ADMIN = "mfu-e2e-admin"
_FIRST, _SECOND = "kube-apiserver", "kube-apiserver-2"

_TAKEN = "address already in use"


class ControlPlane(ClusterAccess):
    """etcd, kube-apiserver, and as asked controller manager, scheduler and KWOK, on loopback.

    Made by `ControlPlane.start`. `kubeconfig`, `url`, `ca_file` and `token` give administrator's access.
    Set `keep_logs` to keep the run's folder when it ends.
    """

    def __init__(
        self, files: servers.Files, binaries: Mapping[str, Path], *, service_accounts: bool, aggregation: bool
    ) -> None:
        kubeconfig = files.kubeconfig_of(_FIRST)
        super().__init__(kubeconfig, kubectl=binaries["kubectl"], cache=files.kubectl_cache)
        self.logs_dir = files.logs
        self.keep_logs = False
        self._files = files
        self._binaries = binaries
        self._service_accounts = service_accounts
        self._aggregation = aggregation
        self._token = secrets.token_hex(16)
        write_token_file(files.tokens, {_ADMIN: self._token})
        self._take_ports()
        self._parts: list[Child] = []

    @classmethod
    @contextmanager
    def start(
        cls,
        dir: Path | None = None,
        *,
        scheduler: bool = True,
        controller_manager: bool = True,
        kwok: bool = True,
        aggregation: bool = False,
        progress: Progress = print,
    ) -> Iterator[ControlPlane]:
        """Run a control plane for the length of the `with` block.

        `dir`: where its data and logs go and stay; by default a temporary folder, kept (and named through `progress`)
        only when the block ends by an error or `keep_logs` was set. `aggregation`: other servers' APIs can be added,
        which needs openssl. Raises StartFailed, BinaryUnavailable.
        """
        wanted = {"kube-controller-manager": controller_manager, "kube-scheduler": scheduler, "kwok": kwok}
        parts = [name for name, asked in wanted.items() if asked]
        binaries = ensure_binaries((*API_SERVER_ONLY, *parts), progress=progress)
        folder = RunFolder(dir)
        files = _prepare(folder.path)
        if aggregation:
            _prepare_aggregation(files)
        plane = cls(files, binaries, service_accounts=controller_manager, aggregation=aggregation)
        try:
            with ExitStack() as running:
                plane._boot_on_free_ports(parts, running)
                yield plane
        except Exception:
            plane.keep_logs = True
            raise
        finally:
            if plane.keep_logs:
                progress(f"logs of the control plane: {plane.logs_dir}")
            folder.close(keep=plane.keep_logs)

    @property
    def url(self) -> str:
        """https://127.0.0.1:PORT of the first API server; the same after a restart."""
        return self._api_server.url

    @property
    def ca_file(self) -> Path:
        """The CA that signed the API server's certificate."""
        return self._api_server.ca_file

    @property
    def token(self) -> str:
        """Bearer token of the administrator."""
        return self._token

    def stop_apiserver(self, *, crash: bool = False) -> None:
        """End the API server, by SIGKILL if `crash`; etcd and the rest run on."""
        self._api_server.stop(grace_seconds=0.0 if crash else 5.0)

    def start_apiserver(self) -> None:
        """Start the API server again on the same port; returns when it is ready."""
        self._api_server.start()

    def restart_apiserver(self, *, crash: bool = False) -> None:
        """Stop and start the API server: its watch cache is empty after that, old watches end with 410."""
        self.stop_apiserver(crash=crash)
        self.start_apiserver()

    @contextmanager
    def second_apiserver(self) -> Iterator[ApiServer]:
        """Another API server on the same etcd, with its own URL and kubeconfig."""
        server = self._new_api_server(_SECOND)
        try:
            server.start()
            yield server
        finally:
            server.stop()

    def pids(self) -> dict[str, int]:
        """Process ids of the programs that run now, by name."""
        children = [self._etcd, self._api_server.child, *self._parts]
        return {child.name: child.pid for child in children if child.pid is not None}

    def raise_if_ended(self) -> None:
        """Raises StartFailed when a program ended that nobody stopped."""
        for child in (self._etcd, self._api_server.child, *self._parts):
            if child.crashed:
                raise StartFailed(f"{child.name} ended by itself; {child.log}:\n{child.log_tail()}")

    def _take_ports(self) -> None:
        self._etcd_port, peer_port = free_ports(2)
        command = servers.etcd(self._binaries["etcd"], self._files, client_port=self._etcd_port, peer_port=peer_port)
        self._etcd = self._child("etcd", command)
        self._api_server = self._new_api_server(_FIRST)

    def _boot_on_free_ports(self, parts: list[str], running: ExitStack) -> None:
        """Boot; once more on other ports when somebody took one between the look and the start."""
        try:
            self._boot(parts, running)
        except StartFailed as error:
            if _TAKEN not in str(error):
                raise
            running.close()
            self._parts.clear()
            self._take_ports()
            self._boot(parts, running)

    def _boot(self, parts: list[str], running: ExitStack) -> None:
        # The stack unwinds in reverse, so etcd ends last: an API server that lost its etcd lingers on its port.
        running.callback(self._etcd.stop)
        running.callback(self._api_server.stop, grace_seconds=0.0)
        self._etcd.start()
        self._api_server.start()
        for name in parts:
            part = self._child(name, self._part_command(name))
            self._parts.append(part)
            # They hold no state: no need to wait for their good-bye.
            running.callback(part.stop, grace_seconds=0.0)
            part.start()
        if self._service_accounts:
            self._wait_for_service_accounts()

    def _wait_for_service_accounts(self) -> None:
        """A pod cannot be made before the controller manager has made its namespace's default service account."""

        def made() -> bool:
            self.raise_if_ended()
            return self.has_service_account("default")

        wait_until(made, what=f"default service account (logs: {self.logs_dir})", within_seconds=60, every_seconds=0.05)

    def _part_command(self, name: str) -> servers.Command:
        binary = self._binaries[name]
        if name == "kube-controller-manager":
            return servers.controller_manager(binary, self._files, kubeconfig=self.kubeconfig)
        if name == "kube-scheduler":
            return servers.scheduler(binary, kubeconfig=self.kubeconfig)
        return servers.kwok(binary, kubeconfig=self.kubeconfig)

    def _new_api_server(self, name: str) -> ApiServer:
        (port,) = free_ports(1)
        command = servers.api_server(
            self._binaries["kube-apiserver"],
            self._files,
            port=port,
            etcd_port=self._etcd_port,
            service_accounts=self._service_accounts,
            aggregation=self._aggregation,
        )
        url = f"https://127.0.0.1:{port}"
        child = self._child(name, command)
        return ApiServer(child, self._files, url=url, kubectl=self._binaries["kubectl"], token=self._token)

    def _child(self, name: str, command: servers.Command) -> Child:
        return Child(name, command, log=self._files.logs / f"{name}.log", home=self._files.root)


def _prepare(root: Path) -> servers.Files:
    files = servers.Files(root)
    for folder in (files.logs, files.certificates, files.etcd_data):
        folder.mkdir(parents=True, exist_ok=True)
    files.etcd_data.chmod(0o700)
    if not files.signing_key.exists():
        write_signing_key(files.signing_key)
    return files


def _prepare_aggregation(files: servers.Files) -> None:
    files.front_proxy.mkdir(exist_ok=True)
    authority = Authority.make(files.front_proxy, "front-proxy-ca")
    authority.sign("front-proxy-client", usage="clientAuth")
