"""Finds the members of the cluster and knows within seconds who of them is alive.

Addresses come from a DNS name, from a list, and from the writers that the index names. Each of them
is asked ``Hello`` once a second. Who has not answered for ``dead_after_s`` is out of the list; who
failed a call otherwise (``suspect``) is out at once, until it answers again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from google.protobuf.message import DecodeError

from tracestore.clock import Clock
from tracestore.codec.proto import cluster_pb2
from tracestore.errors import TracestoreError, UnavailableError
from tracestore.services.members.addresses import Lookup, look_up, split
from tracestore.services.members.member import Identity, Member, MemberList, Role, Silent
from tracestore.services.rpc import Metadata, Peers, Unary
from tracestore.settings.members_tree import MembersSettings
from tracestore.telemetry import Metrics

log = logging.getLogger(__name__)

SERVICE = "tracestore.cluster.v1.Members"
HELLO = f"/{SERVICE}/Hello"
NOT_YET = "nobody has answered yet"

Ask = Callable[[str], Awaitable[Identity]]
"""Address -> who is there. Raises: TracestoreError."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is known of an address."""

    identity: Identity | None = None
    answered_ns: int = 0
    """When it last answered, of the clock that never goes back."""
    suspect: bool = False
    reason: str = NOT_YET


def hello_of(peers: Peers, settings: MembersSettings) -> Ask:
    """Make what asks by gRPC."""
    request = cluster_pb2.HelloRequest().SerializeToString()

    async def ask(address: str) -> Identity:
        reply = await peers.call(address, HELLO, request, timeout_s=settings.hello_timeout_s)
        try:
            return Identity.decode(reply)
        except DecodeError as error:
            raise UnavailableError(f"{address} answers no HelloReply: {error}") from error

    return ask


class Members:
    """Keeps the list. Used from one event loop; ``current`` from any thread."""

    name = "members"

    def __init__(
        self,
        settings: MembersSettings,
        identity: Callable[[], Identity],
        peers: Peers,
        metrics: Metrics,
        clock: Clock,
        *,
        default_port: int,
        writers: Callable[[], Iterable[str]] = tuple,
        lookup: Lookup = look_up,
        ask: Ask | None = None,
    ) -> None:
        """Args:
        identity: of this process, as it is now.
        default_port: of a name that says none.
        writers: addresses of the processes that the index knows to write a log.
        """
        self._settings = settings
        self._identity = identity
        self._peers = peers
        self._metrics = metrics
        self._clock = clock
        self._default_port = default_port
        self._writers = writers
        self._lookup = lookup
        self._ask = hello_of(peers, settings) if ask is None else ask
        self._named: tuple[str, ...] = ()
        """What the name stood for when it was last looked up."""
        self._seen: dict[str, _Seen] = {}
        own = self._self()
        self._latest = MemberList(own=own, members=(own,))
        self._followers: list[Callable[[frozenset[str]], None]] = []

    @property
    def methods(self) -> dict[str, Unary]:
        """What others ask of this process."""
        return {"Hello": self._hello}

    async def _hello(self, _request: bytes, _metadata: Metadata) -> bytes:
        return self._identity().encode()

    @property
    def latest(self) -> MemberList:
        """Who is alive, as of the last look; the same object until the next. Thread-safe."""
        return self._latest

    def current(self) -> MemberList:
        """Get who is alive, this process as it is now. Thread-safe."""
        latest = self._latest
        own = self._self()
        members = (own if member.is_self else member for member in latest.members)
        return replace(latest, own=own, members=tuple(members))

    def follow(self, follower: Callable[[frozenset[str]], None]) -> None:
        """Have the processes that are alive told after every look, in the event loop.

        Those that are suspected are among them: calls of theirs may still succeed.
        """
        self._followers.append(follower)

    def suspect(self, member: Member, reason: str) -> None:
        """Take a member out that failed a call, until it says hello again."""
        seen = self._seen.get(member.address)
        if member.is_self or seen is None or seen.suspect:
            return
        if seen.identity is None or seen.identity.process != member.identity.process:
            return  # somebody else has its address by now
        self._seen[member.address] = replace(seen, suspect=True, reason=reason)
        self._publish()

    async def start(self) -> None:
        """Look for the others for the first time; that none answers does not stop the start."""
        await self.look_up_once()
        await self.greet_once()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_looking_up())
            tasks.create_task(self._keep_greeting())

    async def drain(self) -> None:
        """Let go of the others; this process does not call them any more."""
        await self._peers.close()

    async def _keep_looking_up(self) -> None:
        while True:
            await self._clock.sleep(self._settings.dns_interval_s)
            await self.look_up_once()

    async def _keep_greeting(self) -> None:
        while True:
            started_ns = self._clock.monotonic_ns()
            await self.greet_once()
            passed_s = (self._clock.monotonic_ns() - started_ns) / 1e9
            await self._clock.sleep(max(0.0, self._settings.hello_interval_s - passed_s))

    async def look_up_once(self) -> None:
        """Ask for the addresses behind the name; on failure keep those that were."""
        if not self._settings.dns:
            return
        host, port = split(self._settings.dns, self._default_port)
        try:
            self._named = tuple(await self._lookup(host, port))
        except UnavailableError as error:
            self._metrics.members_lookups_failed.inc()
            log.warning("members cannot be looked up", extra={"error": str(error)})

    async def greet_once(self) -> None:
        """Ask every address who is there, all at once, and make the list anew."""
        addresses = self._addresses()
        for gone in self._seen.keys() - set(addresses):
            del self._seen[gone]
            await self._peers.forget(gone)
        await asyncio.gather(*(self._greet(address) for address in addresses))
        self._publish()

    def _addresses(self) -> Sequence[str]:
        named = (*self._settings.static, *self._named, *self._writers())
        addresses = [address for address in dict.fromkeys(named) if address]
        bound = self._settings.members_max
        if len(addresses) > bound:
            extra = {"addresses": len(addresses), "members_max": bound}
            log.warning("there are more members than are asked", extra=extra)
        return addresses[:bound]

    async def _greet(self, address: str) -> None:
        seen = self._seen.setdefault(address, _Seen())
        try:
            identity = await self._ask(address)
        except TracestoreError as error:
            self._metrics.members_silent_hellos.inc()
            self._seen[address] = replace(self._seen[address], reason=str(error))
            return
        if seen.identity is not None and seen.identity.process != identity.process:
            log.info("a member is a new process", extra=_described(address, identity))
        now_ns = self._clock.monotonic_ns()
        self._seen[address] = _Seen(identity=identity, answered_ns=now_ns, reason="")

    def _self(self) -> Member:
        identity = self._identity()
        return Member(identity=identity, address=identity.address, is_self=True)

    def _publish(self) -> None:
        """Make the list from what is known; the log says who came and who went."""
        own = self._self()
        alive = {own.identity.process: own}
        suspected = set()
        silent = []
        oldest_ns = self._clock.monotonic_ns() - int(self._settings.dead_after_s * 1e9)
        for address, seen in sorted(self._seen.items()):
            if seen.identity is None or seen.suspect or seen.answered_ns < oldest_ns:
                silent.append(Silent(address=address, reason=seen.reason, identity=seen.identity))
                if seen.identity is not None and seen.answered_ns >= oldest_ns:
                    suspected.add(seen.identity.process)
            else:
                member = Member(identity=seen.identity, address=address)
                alive.setdefault(seen.identity.process, member)
        self._tell(alive)
        members = tuple(sorted(alive.values(), key=lambda member: member.key))
        self._latest = MemberList(own=own, members=members, silent=tuple(silent))
        for follower in self._followers:
            follower(frozenset(alive.keys() | suspected))
        self._show()

    def _tell(self, alive: Mapping[str, Member]) -> None:
        """Have the log say who came and who went."""
        before = {member.identity.process: member for member in self._latest.members}
        for process in alive.keys() - before.keys():
            member = alive[process]
            log.info("member is there", extra=_described(member.address, member.identity))
        for process in before.keys() - alive.keys():
            member = before[process]
            log.warning("member is gone", extra=_described(member.address, member.identity))

    def _show(self) -> None:
        for role in Role:
            self._metrics.members.labels(role.value).set(len(self._latest.with_role(role)))
        self._metrics.members_silent.set(len(self._latest.silent))


def _described(address: str, identity: Identity) -> dict[str, object]:
    return {
        "instance": identity.instance,
        "address": address,
        "roles": ",".join(sorted(identity.roles)),
    }
