"""Boolean masks that may be constants, so that a condition settled early reads no column.

A mask over N rows is a boolean array of length N, or ``True`` or ``False`` for all rows. Every
function here is a kernel: no I/O, no state.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

BoolArray: TypeAlias = npt.NDArray[np.bool_]
Mask: TypeAlias = BoolArray | bool


def mask_and(left: Mask, right: Mask) -> Mask:
    """Mark the rows that both mark."""
    if isinstance(left, bool):
        return right if left else False
    if isinstance(right, bool):
        return left if right else False
    return left & right


def mask_or(left: Mask, right: Mask) -> Mask:
    """Mark the rows that one of them marks."""
    if isinstance(left, bool):
        return True if left else right
    if isinstance(right, bool):
        return True if right else left
    return left | right


def mask_not(mask: Mask) -> Mask:
    """Mark the other rows."""
    return not mask if isinstance(mask, bool) else ~mask


def pack(mask: BoolArray) -> npt.NDArray[np.uint8]:
    """Write an array as bits, the lowest first, as Arrow does."""
    return np.packbits(mask, bitorder="little")


def unpack(bits: npt.NDArray[np.uint8], begin: int, rows: int) -> BoolArray:
    """Read ``rows`` bits from bit ``begin`` on."""
    first = begin // 8
    end = begin + rows
    found = np.unpackbits(bits[first : -(-end // 8)], bitorder="little").view(np.bool_)
    return found[begin - 8 * first : end - 8 * first]


def settle(mask: Mask) -> Mask:
    """Turn an array that marks all rows or none into a constant. Cost: a pass of 16 B a cycle."""
    if isinstance(mask, bool):
        return mask
    marked = np.count_nonzero(mask)
    if marked == 0:
        return False
    return True if marked == len(mask) else mask


def to_array(mask: Mask, rows: int) -> BoolArray:
    """Write a constant out as an array of ``rows`` values."""
    return np.full(rows, mask) if isinstance(mask, bool) else mask


def take(mask: Mask, index: npt.NDArray[np.integer]) -> Mask:
    """Spread a mask: the row i of the result is ``mask[index[i]]``.

    A mask that marks one row of the few becomes a comparison of integers, which is several times
    faster than a gather.
    """
    mask = settle(mask)
    if isinstance(mask, bool):
        return mask
    marked = np.flatnonzero(mask)
    spread: BoolArray
    if len(marked) == 1:
        spread = index == index.dtype.type(marked[0])
    elif len(marked) == len(mask) - 1:
        spread = index != index.dtype.type(np.flatnonzero(~mask)[0])
    else:
        spread = mask.take(index)  # several times faster than [] for int32
    return spread
