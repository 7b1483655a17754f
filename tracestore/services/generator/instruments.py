"""Counters and histograms of many label sets at once: an array each, a place per label set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from tracestore.model.collection import Family, MetricType

Places = npt.NDArray[np.int32]
"""(n,) the label set of each observation."""
Floats = npt.NDArray[np.float64]
Number = TypeVar("Number", bound=np.generic)
TraceIds = npt.NDArray[np.uint64]
"""(n, 2) the bytes of each trace ID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One series of each label set of an instrument."""

    suffix: str
    """What is put behind the name of the family."""
    labels: tuple[tuple[str, str], ...] = ()
    """``le`` of a bucket."""
    starts_at_zero: bool = True
    """Whether a new series is 0 before its first value."""


class PerLabelSet:
    """Arrays with a place per label set, named by ``_ARRAYS``."""

    _ARRAYS: ClassVar[tuple[str, ...]]

    def resize(self, size: int) -> None:
        """Make room for label sets."""
        for name in self._ARRAYS:
            array = getattr(self, name)
            if size > len(array):
                setattr(self, name, grown(array, size))

    def keep(self, places: npt.NDArray[np.int64]) -> None:
        """Go on with some of the label sets, in this order."""
        for name in self._ARRAYS:
            setattr(self, name, getattr(self, name)[places])


class Counter(PerLabelSet):
    """A sum per label set."""

    _ARRAYS = ("touched", "is_new", "_sums")
    type: ClassVar = MetricType.COUNTER
    slots: tuple[Slot, ...] = (Slot(suffix=""),)

    def __init__(self, name: str, help_text: str) -> None:
        self.family = Family(name=name, type=self.type, help=help_text)
        self.touched = np.zeros(0, np.bool_)
        """(E,) whether the label set has this series."""
        self.is_new = np.zeros(0, np.bool_)
        """(E,) whether it was never collected."""
        self._sums = np.zeros(0)

    def add(self, places: Places, amounts: Floats | None = None) -> None:
        """Add to each label set; None: 1 each."""
        np.add.at(self._sums, places, 1.0 if amounts is None else amounts)
        self._touch(places)

    def _touch(self, places: Places) -> None:
        self.is_new[places] |= ~self.touched[places]
        self.touched[places] = True

    def values(self, places: npt.NDArray[np.int64]) -> Floats:
        """Get the values of label sets: (n, slots)."""
        return self._sums[places][:, None]


class Gauge(Counter):
    """1 for each label set."""

    type = MetricType.GAUGE
    slots = (Slot(suffix="", starts_at_zero=False),)

    def show(self, places: Places) -> None:
        """Set 1 for each label set."""
        self._sums[places] = 1.0
        self._touch(places)


def grown(array: npt.NDArray[Number], size: int) -> npt.NDArray[Number]:
    """Make an array longer, at least by half, with zeros behind."""
    made = np.zeros((max(size, len(array) * 3 // 2), *array.shape[1:]), array.dtype)
    made[: len(array)] = array
    return made
