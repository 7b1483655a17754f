"""Snapshots that are held for as long as queriers work on them."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field

from tracestore.codec.job_wire import LostSpans, PinnedTables, SnapshotNames
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import TenantId
from tracestore.query.source import SpanSource
from tracestore.services.frontend.cut import Piece
from tracestore.services.live.pins import LivePins, head_of
from tracestore.services.live.remote import RemoteSource
from tracestore.services.live.snapshot import LostSource
from tracestore.services.querier.service import Querier

Cut = Callable[[Sequence[SpanSource], Sequence[BlockMeta]], Sequence[Piece]]
"""Decides, in a pool thread, how a query of these sources is divided. May raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSnapshot:
    """What a query looks at."""

    live: Sequence[SpanSource]
    metas: Sequence[BlockMeta]
    """Of its blocks, newest first."""
    pieces: Sequence[Piece]
    """How it is divided; empty if it is not."""
    pins: LivePins
    own_address: str
    held: ExitStack

    def name(self) -> SnapshotNames:
        """Say where all sources are found; live ones that are only here are pinned here."""
        pinned, lost, here = list[PinnedTables](), list[LostSpans](), dict[str, SpanSource]()
        for source in self.live:
            if isinstance(source, LostSource):
                lost.append(LostSpans(id=source.id, reason=source.reason))
            elif isinstance(source, RemoteSource):
                pinned.append(source.pinned)
            else:
                here[source.id] = source
        if here:
            token = self.pins.pin(here)
            self.held.callback(self.pins.let_go, token)
            pinned += [
                PinnedTables(address=self.own_address, token=token, head=head_of(source))
                for source in here.values()
            ]
        return SnapshotNames(pinned=tuple(pinned), lost=tuple(lost), blocks=tuple(self.metas))


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSnapshots:
    """Takes them."""

    querier: Querier
    pins: LivePins
    own_address: str
    """Where queriers read what is pinned here."""

    @asynccontextmanager
    async def take(self, tenants: tuple[TenantId, ...], cut: Cut) -> AsyncIterator[HeldSnapshot]:
        """Hold a snapshot of the cluster. Raises: as ``Snapshots``; what ``cut`` raises."""
        keeping = _Keeping()
        try:
            async with self.querier.turn(tenants):
                taken = await self.querier.pool.run(self._take, tenants, cut, keeping)
            yield taken
        finally:
            keeping.is_over.set()
            keeping.held.close()

    def _take(self, tenants: tuple[TenantId, ...], cut: Cut, keeping: _Keeping) -> HeldSnapshot:
        live, metas = keeping.held.enter_context(self.querier.taken(tenants))
        if keeping.is_over.is_set():  # nobody has waited for it
            keeping.held.close()
        return HeldSnapshot(
            live=live,
            metas=metas,
            pieces=cut(live, metas),
            pins=self.pins,
            own_address=self.own_address,
            held=keeping.held,
        )


@dataclass(frozen=True, slots=True)
class _Keeping:
    """What is let go at the end, also if that comes before the snapshot does."""

    held: ExitStack = field(default_factory=ExitStack)
    is_over: threading.Event = field(default_factory=threading.Event)
