"""Latency of something as classic histogram, native histogram, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracestore.services.generator.histograms import (
    ClassicHistogram,
    NativeHistogram,
    Observations,
)
from tracestore.settings.generator_limits import GeneratorLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyKinds:
    """Which kinds of histograms a tenant has."""

    classic: bool = True
    native: bool = False
    factor: float = 1.1
    buckets_max: int = 100
    reset_s: float = 900.0

    @classmethod
    def of(cls, limits: GeneratorLimits) -> LatencyKinds:
        """Read them from the limits of a tenant."""
        kind = limits.generate_native_histograms
        return cls(
            classic=kind != "native",
            native=kind in ("native", "both"),
            factor=limits.native_histogram_bucket_factor,
            buckets_max=limits.native_histogram_max_bucket_number,
            reset_s=limits.native_histogram_min_reset_duration_s,
        )


class Latencies:
    """The histograms of one family."""

    def __init__(
        self, name: str, help_text: str, bounds: Sequence[float], kinds: LatencyKinds
    ) -> None:
        """Args: bounds: of the classic one, in seconds."""
        self._classic = ClassicHistogram(name, help_text, bounds) if kinds.classic else None
        self._native = None
        if kinds.native:
            self._native = NativeHistogram(
                name,
                help_text,
                factor=kinds.factor,
                buckets_max=kinds.buckets_max,
                reset_s=kinds.reset_s,
            )

    @property
    def instruments(self) -> list[ClassicHistogram | NativeHistogram]:
        """What there is of them."""
        return [one for one in (self._classic, self._native) if one is not None]

    def observe(self, seen: Observations, now_s: float) -> None:
        """Count observations."""
        if len(seen.places) == 0:
            return
        if self._classic is not None:
            self._classic.observe(seen)
        if self._native is not None:
            self._native.observe(seen, now_s)
