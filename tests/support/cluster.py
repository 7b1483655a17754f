"""Several real processes that are a cluster: one for each role that is asked for.

with running_cluster(tmp_path, {"d": "distributor", "i1": "ingester"}) as cluster:
    httpx.post(f"{cluster['d'].otlp_http}/v1/traces", ...)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from support.server import Server, free_ports, start_server, wait_ready, wait_until


@dataclass
class Cluster:
    """Processes by name; each has a data directory of that name."""

    root: Path
    targets: Mapping[str, str]
    ports: Mapping[str, int]
    """Of gRPC, the same in every life."""
    flags: tuple[str, ...]
    flags_of: Callable[[Path], Sequence[str]] = lambda _: ()
    """Of a process, by its data directory."""
    nodes: dict[str, Server] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Server:
        return self.nodes[name]

    def address(self, name: str) -> str:
        """Where the others reach a process."""
        return f"127.0.0.1:{self.ports[name]}"

    def start(self, name: str, *flags: str) -> Server:
        """Start a process, again under the same name and port; it may not yet be ready."""
        members = ",".join(self.address(other) for other in self.targets)
        self.nodes[name] = start_server(
            self.root / name,
            f"--target={self.targets[name]}",
            f"--members.static={members}",
            f"--members.instance={name}",
            *self.flags,
            *self.flags_of(self.root / name),
            *flags,
            grpc_port=self.ports[name],
        )
        return self.nodes[name]

    def wait_ready(self) -> None:
        """Wait until every process that runs is ready, and knows of the others that they are."""
        running = {n: node for n, node in self.nodes.items() if node.process.poll() is None}
        for node in running.values():
            wait_ready(node)
        for node in running.values():
            wait_until(lambda node=node: members_of(node).count(" ready ") == len(running))

    def logs(self) -> str:
        """What all processes have logged."""
        return "\n".join(f"--- {name}\n{node.log()}" for name, node in self.nodes.items())


def members_of(node: Server) -> str:
    """The page of a process that shows who is in the cluster, a line each."""
    return httpx.get(f"{node.api_url}/status/members", timeout=30).text


@contextmanager
def running_cluster(
    root: Path,
    targets: Mapping[str, str],
    *flags: str,
    flags_of: Callable[[Path], Sequence[str]] = lambda _: (),
) -> Iterator[Cluster]:
    """Start a process for each target, wait until all are ready, and stop them at the end.

    Args:
        flags: of all processes.
        flags_of: of a process, by its data directory.

    Those that were killed in between are left at that; one that stops badly fails the test.
    """
    ports = dict(zip(targets, free_ports(len(targets)), strict=True))
    cluster = Cluster(root, targets, ports, flags, flags_of)
    try:
        for name in targets:
            cluster.start(name)
        cluster.wait_ready()
        yield cluster
        for name, node in cluster.nodes.items():
            if node.process.poll() is None:
                code = node.stop()
                assert code == 0, f"{name}: exit code {code}:\n{node.log()}"
    finally:
        for node in cluster.nodes.values():
            if node.process.poll() is None:
                node.kill()
