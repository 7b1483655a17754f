"""Buckets of powers of two, and quantiles out of them. Kernels: no I/O, no state.

Source: TraceQL reference, 6.5.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Keys = npt.NDArray[np.int64]
BUCKETS = 64
"""Bucket b holds what is larger than 2^(b-1) and not larger than 2^b; b is 1 to 63."""


def bounds(buckets: Keys, scale: float) -> Floats:
    """Get the upper bounds: 2^b, in units of ``scale``."""
    return np.ldexp(1.0, buckets) / scale


def quantiles(group: Keys, counts: Floats, upper: Floats, fraction: float) -> tuple[Keys, Floats]:
    """Interpolate a quantile of each group.

    Args:
        group: (C,) ascending; within one ``upper`` ascends.
        counts: (C,) spans in each bucket, above 0; weighted ones need not be whole.
        upper: (C,) upper bound of each bucket.
        fraction: the quantile, 0 to 1.

    Returns: the distinct groups, and the quantile of each.
    """
    starts = np.flatnonzero(np.diff(group, prepend=-1) != 0)
    sizes = np.diff(starts, append=len(group))
    before_group = np.repeat(np.cumsum(counts)[starts] - counts[starts], sizes)
    passed = np.cumsum(counts) - before_group
    totals = np.add.reduceat(counts, starts) if len(starts) else np.empty(0)
    # weights need not be whole: no more is asked for than is there
    targets = np.minimum(np.maximum(np.ceil(fraction * totals), 1.0), totals)
    # the first bucket of each group that reaches the target: those before it fall short
    short = np.add.reduceat((passed < np.repeat(targets, sizes)).astype(np.int64), starts)
    hit = np.minimum(starts + short, starts + sizes - 1)
    missing = targets - (passed[hit] - counts[hit])
    high = np.log2(upper[hit])
    low = np.where(short > 0, np.log2(upper[np.maximum(hit - 1, 0)]), high - 1)
    found = np.exp2(low + (high - low) * (missing / counts[hit]))
    return group[starts], np.where(passed[hit] == targets, upper[hit], found)
