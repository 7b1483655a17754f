"""The collection under the name by which the generator knows it; see ``model.collection``."""

from tracestore.model.collection import (
    Collection,
    Exemplars,
    Family,
    Labels,
    MetricType,
    NativeHistograms,
)

__all__ = ["Collection", "Exemplars", "Family", "Labels", "MetricType", "NativeHistograms"]
