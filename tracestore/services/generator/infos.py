"""Metrics that say what there is: the resources that send spans, and their hosts.

Source: wire contract, 17.2 and 17.4.
"""

from __future__ import annotations

import logging
from typing import Final

import numpy as np

from tracestore.model import span_metrics as names
from tracestore.services.generator.instruments import Gauge
from tracestore.services.generator.reading import SpanBatch, present_or_empty
from tracestore.services.generator.series import Context, Group
from tracestore.services.generator.span_metrics import JobLabels
from tracestore.services.generator.vocabulary import EMPTY, Numbers
from tracestore.settings.generator_tree import HostInfoSettings, SpanMetricsSettings

log = logging.getLogger(__name__)

HOST_INFO: Final = "host-info"
LABELS_MAX = 1024
"""Attributes of resources that become labels; resources of one tenant have no more kinds."""
_NOT_LABELS = frozenset({"service.name", "service.namespace", "service.instance.id"})


class TargetInfo:
    """``traces_target_info``: the attributes of resources. Used by one thread at a time."""

    name = "target-info"

    def __init__(self, settings: SpanMetricsSettings) -> None:
        self._left_out = _NOT_LABELS | set(settings.target_info_excluded_dimensions)
        self._has_instance = settings.enable_instance_label
        self._gauge = Gauge(names.TARGET_INFO, "1 for each resource that sends spans.")
        self._jobs = JobLabels()
        self._is_full = False
        self.group = Group([names.JOB, names.INSTANCE], [self._gauge])
        self.groups = (self.group,)

    def consume(self, batch: SpanBatch, context: Context) -> None:
        """Show the resources of spans."""
        used = np.unique(batch.field("resource"))
        columns = self._columns(batch, used)
        self._widen(columns)
        labels = self.group.entities.labels
        nothing = np.zeros(len(used), np.int32)
        rows = np.stack([columns.get(label, nothing) for label in labels], axis=1)
        is_target = (rows[:, :2] > EMPTY).any(axis=1) & (rows[:, 2:] > EMPTY).any(axis=1)
        if is_target.any():
            chosen = np.ascontiguousarray(rows[is_target])
            self._gauge.show(self.group.places(chosen, context))

    def _columns(self, batch: SpanBatch, used: Numbers) -> dict[str, Numbers]:
        """Get the labels of resources: by name, a number for each resource."""
        columns = {names.JOB: self._jobs.of_resources(batch)[used]}
        if self._has_instance:
            columns[names.INSTANCE] = present_or_empty(batch.of_resources("service.instance.id"))[
                used
            ]
        for key in batch.resource_keys():
            if key in self._left_out or not key or key[0].isdigit():
                continue
            values = present_or_empty(batch.of_resources(key))[used]
            label = names.label_name(key)
            if label in (names.JOB, names.INSTANCE):
                label = f"__{label}"
            before = columns.get(label)
            columns[label] = values if before is None else np.where(values > EMPTY, values, before)
        return columns

    def _widen(self, columns: dict[str, Numbers]) -> None:
        known = self.group.entities.labels
        new = [label for label in columns if label not in known]
        room = LABELS_MAX - len(known)
        if len(new) > room and not self._is_full:
            self._is_full = True
            log.warning(
                "resources have more attributes than labels of traces_target_info may be: some "
                "are left out; name those that you do not need in "
                "span_metrics.target_info_excluded_dimensions",
                extra={"labels_max": LABELS_MAX},
            )
        if new[:room]:
            self.group.widen([*known, *new[:room]])

    def forget(self) -> None:
        """Forget what numbers of texts meant, for the vocabulary is another one."""
        self._jobs = JobLabels()

    def used(self) -> list[Numbers]:
        """Name the numbers of texts that are in use."""
        return [self.group.entities.rows[1:].reshape(-1)]

    def renumber(self, numbers: Numbers) -> None:
        """Put new numbers of texts for the old ones."""
        self.group.entities.renumber(numbers)
        self.forget()


class HostInfo:
    """``traces_host_info``: the hosts that send spans. Used by one thread at a time."""

    name = HOST_INFO

    def __init__(self, settings: HostInfoSettings) -> None:
        self._identifiers = settings.host_identifiers
        self._gauge = Gauge(settings.metric_name, "1 for each host that sends spans.")
        self.group = Group(["grafana_host_id", "host_source"], [self._gauge])
        self.groups = (self.group,)

    def consume(self, batch: SpanBatch, context: Context) -> None:
        """Show the hosts of spans."""
        used = np.unique(batch.field("resource"))
        rows = np.zeros((len(used), 2), np.int32)
        for key in reversed(self._identifiers):
            values = batch.of_resources(key)[used]
            present = values > EMPTY
            rows[present, 0] = values[present]
            rows[present, 1] = context.vocabulary.number(key)
        rows = rows[rows[:, 0] > EMPTY]
        if len(rows):
            self._gauge.show(self.group.places(rows, context))

    def forget(self) -> None:
        """Nothing is remembered."""

    def used(self) -> list[Numbers]:
        """Name the numbers of texts that are in use."""
        return [self.group.entities.rows[1:].reshape(-1)]

    def renumber(self, numbers: Numbers) -> None:
        """Put new numbers of texts for the old ones."""
        self.group.entities.renumber(numbers)
