"""A process of the cluster as it says it is, and the list of those that are alive. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tracestore.codec.proto import cluster_pb2


class Role(StrEnum):
    """What a process may do; the names of ``--target``."""

    DISTRIBUTOR = "distributor"
    INGESTER = "ingester"
    QUERIER = "querier"
    QUERY_FRONTEND = "query-frontend"
    COMPACTOR = "compactor"
    METRICS_GENERATOR = "metrics-generator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a process says of itself."""

    process: str
    """By chance at each start."""
    instance: str
    """The same after a restart."""
    address: str
    """host:port of its gRPC, where others reach it."""
    roles: frozenset[str]
    writer: str = ""
    """Of its write-ahead log; empty if it has none that others must know of."""
    index_sequence: int = 0
    """The last commit of the index that it knows."""
    ready: bool = False
    """Whether it answers all that its roles are asked."""
    draining: bool = False
    """Whether it is about to stop."""
    version: str = ""

    def encode(self) -> bytes:
        """Write it as a HelloReply."""
        reply: bytes = cluster_pb2.HelloReply(
            process=self.process,
            instance=self.instance,
            address=self.address,
            roles=sorted(self.roles),
            writer=self.writer,
            index_sequence=self.index_sequence,
            ready=self.ready,
            draining=self.draining,
            version=self.version,
        ).SerializeToString()
        return reply

    @classmethod
    def decode(cls, reply: bytes) -> Identity:
        """Read a HelloReply. Raises: google.protobuf.message.DecodeError."""
        said = cluster_pb2.HelloReply.FromString(reply)
        return cls(
            process=said.process,
            instance=said.instance,
            address=said.address,
            roles=frozenset(said.roles),
            writer=said.writer,
            index_sequence=said.index_sequence,
            ready=said.ready,
            draining=said.draining,
            version=said.version,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A process that is alive."""

    identity: Identity
    address: str
    """Where it answered: host:port of its gRPC. The own one is not called by it."""
    is_self: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What members are told apart and put in order by, in all processes alike."""
        return self.identity.instance, self.identity.process

    def has(self, role: Role) -> bool:
        """Tell whether it has a role."""
        return role in self.identity.roles


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """An address at which nobody has answered for a while."""

    address: str
    reason: str
    identity: Identity | None = None
    """Who was there before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberList:
    """Everybody who is alive, this process too, as known at one moment."""

    own: Member
    """This process."""
    members: tuple[Member, ...]
    """In the order of ``Member.key``, each process once."""
    silent: tuple[Silent, ...] = ()

    def with_role(self, role: Role) -> tuple[Member, ...]:
        """Get the living members with a role, those about to stop too."""
        return tuple(member for member in self.members if member.has(role))

    def taking(self, role: Role) -> tuple[Member, ...]:
        """Get those with a role that are ready and not about to stop."""
        return tuple(
            member
            for member in self.with_role(role)
            if member.identity.ready and not member.identity.draining
        )

    def of_writer(self, writer: str) -> Member | None:
        """Get the process that writes a log; None if none of the living does."""
        found = (m for m in self.members if writer and m.identity.writer == writer)
        return next(found, None)
