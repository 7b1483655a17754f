"""Which traces of a head are stored: judged when its block is about to be written.

A head is judged together with the tenant's other live tables. Spans of a trace over which was
decided before follow that decision: it is remembered, or told by a stored block or by what is
listed as dropped. States of a head: cut -> (waiting for late spans) -> judged -> written and
committed, or let go if nothing of it stays. After a crash in between the log is replayed, and
judged anew but for what was dropped.

Source: docs/sampling.md.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracestore.clock import Clock
from tracestore.codec.filters import hash_trace_ids
from tracestore.errors import SettingsError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import BlockId, TenantId
from tracestore.query.control import QueryControl
from tracestore.query.source import SpanSource
from tracestore.query.wholes import scan_of
from tracestore.services.sampling.dropped import DroppedElsewhere
from tracestore.services.sampling.judging import deciding_rules
from tracestore.services.sampling.memory import DecisionMemory
from tracestore.services.sampling.policy import Policy, policy_of
from tracestore.services.sampling.stored import stored_weights
from tracestore.services.tenant_labels import TenantLabels
from tracestore.settings.limits import TenantLimits
from tracestore.settings.sampling_tree import SamplingSettings
from tracestore.storage.decisions import DroppedTraces
from tracestore.telemetry import Metrics

log = logging.getLogger(__name__)

Weights = npt.NDArray[np.float64]
Ids = npt.NDArray[np.bytes_]
SEGMENTS_KNOWN_MAX = 4096
"""Names of WAL segments whose traces were judged here; blocks of others are asked for theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of the traces of a head."""

    weights: Weights
    """(T,) for how many each stands; 0: it is left out."""
    followed: npt.NDArray[np.bool_]
    """(T,) whether it was decided over before."""
    spans: npt.NDArray[np.int64]
    """(T,) spans of each in the head."""

    @property
    def keeps_all(self) -> bool:
        """Whether the head is stored as it is."""
        return bool((self.weights == 1).all())

    @property
    def keeps_none(self) -> bool:
        """Whether nothing is stored."""
        return not self.weights.any()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What is known of stored traces: given by the process, faked by tests."""

    blocks: Callable[[TenantId], Sequence[BlockMeta]]
    open: Callable[[BlockMeta], SpanSource]
    pinned: Callable[[TenantId], frozenset[bytes]]
    """Traces that stay whatever a policy says. Raises: UnavailableError."""
    dropped: DroppedTraces


class Sampling:
    """Judges heads of all tenants. Thread-safe; tenants do not wait for one another."""

    def __init__(
        self,
        settings: SamplingSettings,
        limits: Callable[[TenantId], TenantLimits],
        stored: Stored,
        metrics: Metrics,
        clock: Clock,
        *,
        labels: TenantLabels,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._stored = stored
        self._metrics = metrics
        self._clock = clock
        self._labels = labels
        self._memory = DecisionMemory(
            traces_max=settings.remembered_traces_max, keep_s=settings.remember_s
        )
        self._elsewhere = DroppedElsewhere(stored.dropped, self._memory, settings, clock)
        self._judged: dict[TenantId, deque[str]] = {}
        self._lock = threading.Lock()
        self._complaint = ""
        """The last one, so that it is logged once."""
        self._turns: dict[TenantId, threading.Lock] = {}

    def wait_ns(self, tenant: TenantId) -> int:
        """Tell how long a head of a tenant should wait for late spans once it is cut."""
        if self._policy(tenant) is None:
            return 0
        return int(self._settings.decision_wait_s * 1e9)

    def judge(
        self,
        tenant: TenantId,
        head: SpanSource,
        others: Callable[[], Sequence[SpanSource]],
        segments: Sequence[str],
        *,
        adopted: bool,
    ) -> Verdict | None:
        """Decide over the traces of a head; once for each head. None: all of it is stored.

        Args:
            others: gets the tenant's other live tables.
            segments: WAL segments of the head.
            adopted: whether another life or process took its spans.

        Raises: UnavailableError if a block that may hold parts of its traces cannot be read.
        Cost: the searches of the policy, and about 0.3 µs a trace.
        """
        policy = self._policy(tenant)
        if policy is None:
            return None
        with self._turn(tenant):
            self._elsewhere.learn(tenant, again=adopted)
            return self._judge(tenant, policy, head, others(), segments)

    def _policy(self, tenant: TenantId) -> Policy | None:
        """Get the policy of a tenant; one that came later and cannot be worked with keeps all."""
        try:
            return policy_of(self._limits(tenant))
        except SettingsError as error:
            complaint = f"tenant {tenant}: {error}"
            if complaint != self._complaint:
                self._complaint = complaint
                log.error("a sampling policy is bad, all is kept", extra={"error": complaint})
            return None

    def _turn(self, tenant: TenantId) -> threading.Lock:
        with self._lock:
            return self._turns.setdefault(tenant, threading.Lock())

    def _judge(
        self,
        tenant: TenantId,
        policy: Policy,
        head: SpanSource,
        others: Sequence[SpanSource],
        segments: Sequence[str],
    ) -> Verdict:
        control = QueryControl(clock=self._clock)
        scan = scan_of(head, control)
        ids = scan.traces.ids
        hashes = hash_trace_ids(ids)
        weights = self._memory.recall(tenant, hashes, self._clock.monotonic_ns())
        self._ask_blocks(tenant, head, ids, weights)
        followed = ~np.isnan(weights)
        if not followed.all():
            near = [scan_of(one, control) for one in others]
            places = deciding_rules(policy, scan, near, control)
            decided = policy.weights(places, hashes)
            weights = np.where(followed, weights, decided)
        pinned = self._pinned(tenant, ids)
        weights[pinned & (weights == 0)] = 1.0
        new = ~followed | pinned
        self._elsewhere.tell(tenant, BlockId(head.id), hashes[new & (weights == 0)])
        self._memory.remember(tenant, hashes[new], weights[new], self._clock.monotonic_ns())
        self._note(tenant, segments)
        spans = scan.traces.span_count.astype(np.int64)
        return Verdict(weights=weights, followed=followed, spans=spans)

    def _ask_blocks(self, tenant: TenantId, head: SpanSource, ids: Ids, weights: Weights) -> None:
        """Fill in what blocks tell of traces over which nothing is remembered."""
        blocks = self._unknown_blocks(tenant, head)
        asked = np.flatnonzero(np.isnan(weights))
        if blocks and len(asked):
            weights[asked] = stored_weights(map(self._stored.open, blocks), ids[asked])

    def _unknown_blocks(self, tenant: TenantId, head: SpanSource) -> list[BlockMeta]:
        """Find the blocks near a head that hold traces over which was decided elsewhere."""
        known = frozenset(self._judged.get(tenant, ()))
        reach_ns = int(self._settings.remember_s * 1e9)
        since_ns = self._clock.now_ns() - reach_ns
        return [
            meta
            for meta in self._stored.blocks(tenant)
            if meta.created_ns >= since_ns
            and meta.start_ns <= head.end_ns + reach_ns
            and meta.end_ns >= head.start_ns - reach_ns
            and not (meta.wal_segments and known.issuperset(meta.wal_segments))
        ]

    def _pinned(self, tenant: TenantId, ids: Ids) -> npt.NDArray[np.bool_]:
        pinned = self._stored.pinned(tenant)
        if not pinned:
            return np.zeros(len(ids), np.bool_)
        found: npt.NDArray[np.bool_] = np.isin(ids, np.array(sorted(pinned), ids.dtype))
        return found

    def _note(self, tenant: TenantId, segments: Sequence[str]) -> None:
        """Remember whose traces were judged, so that their blocks need not be asked."""
        with self._lock:
            known = self._judged.setdefault(tenant, deque(maxlen=SEGMENTS_KNOWN_MAX))
            known.extend(name for name in segments if name not in known)

    def count(self, tenant: TenantId, verdict: Verdict) -> None:
        """Count what became of a head, once it is stored or let go."""
        label = self._labels.of(tenant)
        metrics, weights = self._metrics, verdict.weights
        for decision, mask in (
            ("kept", weights == 1),
            ("kept_by_ratio", weights > 1),
            ("dropped", weights == 0),
        ):
            new = mask & ~verdict.followed
            late = mask & verdict.followed
            metrics.sampling_traces.labels(label, decision).inc(int(new.sum()))
            metrics.sampling_spans.labels(label, decision).inc(int(verdict.spans[mask].sum()))
            metrics.sampling_late_spans.labels(label, decision).inc(int(verdict.spans[late].sum()))
        metrics.sampling_remembered.labels(label).set(self._memory.count(tenant))
