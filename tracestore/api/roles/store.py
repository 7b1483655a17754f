"""Where the process opens its object store, by the settings."""

from __future__ import annotations

from tracestore.clock import Clock
from tracestore.services.instruments import StoreInstruments
from tracestore.settings.tree import StorageSettings
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.local import LocalObjectStore
from tracestore.storage.objects.measured import MeasuredObjectStore
from tracestore.telemetry import Metrics


def open_store(settings: StorageSettings, metrics: Metrics, clock: Clock) -> ObjectStore:
    """Open what holds blocks, index and leases; its requests are measured."""
    return MeasuredObjectStore(LocalObjectStore(settings.path), StoreInstruments(metrics), clock)
