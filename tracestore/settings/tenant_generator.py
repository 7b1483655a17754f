"""What holds for the metrics of a tenant: its limits over the settings of the server, key by key.

Source: wire contract, sections 17.1 and 18.1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from tracestore.settings.generator_limits import GeneratorLimits, TenantGenerator
from tracestore.settings.generator_tree import GeneratorSettings

Section = TypeVar("Section")

PROCESSORS: Final[Mapping[str, tuple[str, ...]]] = {
    "service-graphs": ("service-graphs-request", "service-graphs-latency"),
    "service-graphs-request": ("service-graphs-request",),
    "service-graphs-latency": ("service-graphs-latency",),
    "service-graphs-connection-info": ("service-graphs-connection-info",),
    "span-metrics": ("span-metrics-count", "span-metrics-latency", "span-metrics-size"),
    "span-metrics-count": ("span-metrics-count",),
    "span-metrics-latency": ("span-metrics-latency",),
    "span-metrics-size": ("span-metrics-size",),
    "host-info": ("host-info",),
}
"""Name -> the parts that it turns on."""
LOCAL_BLOCKS: Final = "local-blocks"
NO_PATH: Final = "no metrics_generator.storage.path configured, metrics generator will be disabled"


def tenant_generator(settings: GeneratorSettings, limits: GeneratorLimits) -> TenantGenerator:
    """Put the limits of a tenant over the settings of the server.

    Without a directory (``storage.path``) nothing is made, whatever the tenant asks for.

    Returns: what holds; equal if nothing about it changed.
    """
    defaults = GeneratorLimits()
    return TenantGenerator(
        processors=expand_processors(limits.processors) if settings.storage.path else frozenset(),
        processor=_overlaid(settings.processor, limits.processor),
        slack_s=limits.ingestion_time_range_slack_s
        or settings.metrics_ingestion_time_range_slack_s,
        collection_interval_s=(
            limits.collection_interval_s or settings.registry.collection_interval_s
        ),
        limits=dataclasses.replace(
            limits,
            **{name: getattr(limits, name) or getattr(defaults, name) for name in _ZERO_IS_DEFAULT},
        ),
    )


_ZERO_IS_DEFAULT = (
    "generate_native_histograms",
    "native_histogram_bucket_factor",
    "native_histogram_max_bucket_number",
    "native_histogram_min_reset_duration_s",
    "trace_id_label_name",
)


def expand_processors(names: Iterable[str]) -> frozenset[str]:
    """Get the parts that names turn on; a name that nobody knows turns on nothing."""
    return frozenset(part for name in names for part in PROCESSORS.get(name, ()))


def odd_processors(names: Iterable[str]) -> list[str]:
    """Warn of names that turn on nothing."""
    known = ", ".join(PROCESSORS)
    why = {LOCAL_BLOCKS: "stored spans are queried as they are"}
    odd = (name for name in names if name not in PROCESSORS)
    return [f"{name} has no effect: {why.get(name, f'known are {known}')}" for name in odd]


def _overlaid(section: Section, over: object) -> Section:
    """Replace the fields of a section that are not null in another of the same names."""
    changed: dict[str, object] = {}
    for field in dataclasses.fields(over):  # type: ignore[arg-type]  # sections are dataclasses
        value = getattr(over, field.name)
        if dataclasses.is_dataclass(value):
            changed[field.name] = _overlaid(getattr(section, field.name), value)
        elif value is not None:
            changed[field.name] = value
    return dataclasses.replace(section, **changed)  # type: ignore[type-var]  # as above
