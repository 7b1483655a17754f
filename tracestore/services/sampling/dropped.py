"""What other lives and processes have dropped: told by objects, learnt into the memory.

Read when a tenant is judged for the first time in the life of a process, and again when a head was
adopted: in between a trace has one home, which remembers. Objects go when their time is over,
whoever wrote them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tracestore.clock import Clock
from tracestore.errors import CorruptionError, NotFoundError
from tracestore.model.ids import BlockId, TenantId
from tracestore.services.sampling.memory import DecisionMemory
from tracestore.settings.sampling_tree import SamplingSettings
from tracestore.storage.decisions import DroppedObject, DroppedTraces

Hashes = npt.NDArray[np.uint64]
log = logging.getLogger(__name__)


class DroppedElsewhere:
    """Synchronous; of one tenant used by one thread at a time."""

    def __init__(
        self,
        dropped: DroppedTraces,
        memory: DecisionMemory,
        settings: SamplingSettings,
        clock: Clock,
    ) -> None:
        self._dropped = dropped
        self._memory = memory
        self._settings = settings
        self._clock = clock
        self._known: dict[TenantId, set[str]] = {}
        """Keys of objects that were read or written here and are still listed."""

    @property
    def _is_on(self) -> bool:
        return self._settings.remember_s > 0 and self._settings.remembered_traces_max > 0

    def learn(self, tenant: TenantId, *, again: bool) -> None:
        """Remember what others have dropped, and delete what is too old.

        Args:
            again: whether to look for new objects, too.

        Raises: UnavailableError. What is damaged or gone is passed over, and logged.
        Cost: a LIST; the first time, and again, 6 B a trace to read.
        """
        if not self._is_on:
            return
        listed = self._dropped.list(tenant)
        since_ns = self._clock.now_ns() - int(self._settings.remember_s * 1e9)
        old = [one for one in listed if one.decided_ns < since_ns]
        if old:
            self._dropped.delete(old)
        young = [one for one in listed if one.decided_ns >= since_ns]
        known = self._known.get(tenant)
        if known is None or again:
            self._read(tenant, [one for one in young if known is None or one.key not in known])
            known = {one.key for one in young}
        self._known[tenant] = known & {one.key for one in young}

    def _read(self, tenant: TenantId, objects: Sequence[DroppedObject]) -> None:
        """Read the newest, as many as may be remembered."""
        left = self._settings.remembered_traces_max
        for one in reversed(objects):
            if left <= 0:
                break
            try:
                hashes = self._dropped.read(one)
            except (NotFoundError, CorruptionError) as error:
                extra = {"key": one.key, "error": str(error)}
                log.warning("traces that were dropped are not known", extra=extra)
                continue
            left -= len(hashes)
            age_ns = max(0, self._clock.now_ns() - one.decided_ns)
            made_ns = self._clock.monotonic_ns() - age_ns
            self._memory.remember(tenant, hashes, np.zeros(len(hashes)), made_ns)

    def tell(self, tenant: TenantId, block: BlockId, hashes: Hashes) -> None:
        """Store what was dropped of a head. Raises: UnavailableError; telling again is right."""
        if self._is_on and len(hashes):
            one = self._dropped.write(tenant, block, self._clock.now_ns(), hashes)
            self._known.setdefault(tenant, set()).add(one.key)
