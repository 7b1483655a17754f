"""Where the process opens its object store, by the settings."""

from __future__ import annotations

import random

from tracestore.clock import Clock
from tracestore.services.instruments import StoreInstruments
from tracestore.settings.tree import StorageSettings
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.local import LocalObjectStore
from tracestore.storage.objects.measured import MeasuredObjectStore
from tracestore.telemetry import Metrics


def open_store(settings: StorageSettings, metrics: Metrics, clock: Clock) -> ObjectStore:
    """Open what holds blocks, index and leases; its requests are measured.

    Raises: SettingsError naming what the operator should mend.
    """
    instruments = StoreInstruments(metrics)
    if settings.backend == "s3":
        from tracestore.storage.objects.s3_start import open_s3

        return open_s3(settings.s3, instruments, clock, random.SystemRandom())
    return MeasuredObjectStore(LocalObjectStore(settings.path), instruments, clock)
