"""What a process is to the others of its cluster: who it is, and who they are."""

from __future__ import annotations

from collections.abc import Callable

from tracestore.api.ops import table
from tracestore.api.roles.ground import Ground
from tracestore.services.lifecycle import Service, Supervisor
from tracestore.services.members.addresses import address_for_others, name_of_instance
from tracestore.services.members.member import Identity, Role
from tracestore.services.members.service import SERVICE, Members
from tracestore.services.rpc import Peers
from tracestore.version import package_version


class ClusterPart:
    """Makes the members, whom every process follows, also one that is alone."""

    def __init__(self, ground: Ground, roles: frozenset[Role]) -> None:
        self._ground = ground
        self._roles = roles
        self._supervisor: Supervisor | None = None
        self._process = f"{ground.rng.getrandbits(64):016x}"
        settings = ground.settings.members
        listened = ground.grpc_address
        self.instance = name_of_instance(settings, listened.port)
        self.address = address_for_others(settings, listened.host, listened.port)
        self.writer: Callable[[], str] = str
        """Gives the ID of the writer of this process, if others must know of its log."""
        self.peers = Peers(message_bytes_max=ground.message_bytes_max)
        self.members = Members(
            settings,
            self.identity,
            self.peers,
            ground.metrics,
            ground.clock,
            default_port=listened.port,
            writers=self._addresses_of_writers,
        )
        ground.rpc.add(SERVICE, self.members.methods)

    def identity(self) -> Identity:
        """Say who this process is, as it is now."""
        supervisor = self._supervisor
        return Identity(
            process=self._process,
            instance=self.instance,
            address=self.address,
            roles=frozenset(role.value for role in self._roles),
            writer=self.writer(),
            index_sequence=self._index_sequence(),
            ready=supervisor is not None and supervisor.ready,
            draining=supervisor is not None and supervisor.stopping,
            version=package_version(),
        )

    def _index_sequence(self) -> int:
        return self._ground.follower.current().sequence if self._ground.has_store else 0

    def _addresses_of_writers(self) -> list[str]:
        """Get where the processes are that the index knows to write a log."""
        if not self._ground.has_store:
            return []
        return [writer.address for writer in self._ground.follower.current().writers.values()]

    @property
    def is_stopping(self) -> bool:
        """Whether the process is about to end."""
        return self._supervisor is not None and self._supervisor.stopping

    @property
    def has_started(self) -> bool:
        """Whether everything in this process answers, the index is read; also while it stops."""
        supervisor = self._supervisor
        return supervisor is not None and (supervisor.ready or supervisor.stopping)

    def has_others(self, role: Role) -> bool:
        """Tell whether another process with a role is alive."""
        return any(not member.is_self for member in self.members.latest.with_role(role))

    def start_with(self, supervisor: Supervisor) -> None:
        """Take who knows whether this process is ready."""
        self._supervisor = supervisor

    def services(self) -> list[Service]:
        """Get what runs, in the order of the start."""
        return [self.members]

    def pages(self) -> dict[str, Callable[[], str]]:
        """Make the pages of ``/status`` that tell of the cluster."""
        return {"members": self._page}

    def _page(self) -> str:
        current = self.members.current()
        rows: list[tuple[str, ...]] = []
        for member in current.members:
            said = member.identity
            state = "draining" if said.draining else "ready" if said.ready else "starting"
            address = f"{member.address} (this process)" if member.is_self else member.address
            roles = ",".join(sorted(said.roles))
            index = str(said.index_sequence)
            rows.append((said.instance, state, address, roles, index, said.writer))
        for silent in current.silent:
            before = silent.identity
            instance = "" if before is None else before.instance
            roles = "" if before is None else ",".join(sorted(before.roles))
            rows.append((instance, "silent", silent.address, roles, "", silent.reason))
        return table(("instance", "state", "address", "roles", "index", "writer"), rows)
