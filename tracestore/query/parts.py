"""What an expression evaluates to over N rows: a few typed arrays, one of which has the value.

A key may be sent with several types, so the value of an attribute is not one array but a small set
of ``Part``s: type, values, and the rows that have them. Rows are spans, or the rows of the small
tables (resources, scopes, traces), events or links, or one row for a constant: the *domain*.
``spread`` turns a part of one domain into one over another.

Values in rows that are not ``valid`` are arbitrary. No I/O here, no state but lazily made texts.

Source: TraceQL reference, 4.1, 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from traceql.values import ValueType
from tracestore.query.masks import Mask, mask_and, mask_not, mask_or, to_array

IntArray: TypeAlias = npt.NDArray[np.signedinteger]
Offsets: TypeAlias = npt.NDArray[np.int64]


class Domain(IntEnum):
    """What a row is. Values of two domains meet in the smallest to which both can be spread.

    Rows of EVENT and LINK are those of a chunk, and a last one that stands for the event (link) of
    spans that have none: all its fields are nil. The domains behind LINK are *joined*: each span
    beside each of its events, each of its links, each pair of both, or beside that last row.
    """

    CONSTANT = 0
    RESOURCE = 1
    SCOPE = 2
    TRACE = 3
    SPAN = 4
    EVENT = 5
    LINK = 6
    SPAN_EVENT = 7
    SPAN_LINK = 8
    EVENT_LINK = 9

    @property
    def is_joined(self) -> bool:
        """Whether a row is a span beside an event, a link or both."""
        return self >= Domain.SPAN_EVENT

    @property
    def has_events(self) -> bool:
        """Whether a row speaks of an event."""
        return self in (Domain.EVENT, Domain.SPAN_EVENT, Domain.EVENT_LINK)

    @property
    def has_links(self) -> bool:
        """Whether a row speaks of a link."""
        return self in (Domain.LINK, Domain.SPAN_LINK, Domain.EVENT_LINK)

    def meet(self, other: Domain) -> Domain:
        """Find the smallest domain to which both can be spread."""
        if self == other or other == Domain.CONSTANT:
            return self
        if self == Domain.CONSTANT:
            return other
        has_events = self.has_events or other.has_events
        has_links = self.has_links or other.has_links
        if has_events and has_links:
            return Domain.EVENT_LINK
        if has_events:
            return Domain.SPAN_EVENT
        return Domain.SPAN_LINK if has_links else Domain.SPAN


@dataclass(frozen=True, slots=True)
class Numbers:
    """Ints, durations (ns), status and kind numbers as int64 or int32; floats as float64; bools."""

    type: ValueType
    values: npt.NDArray[np.generic]
    valid: Mask

    def spread(self, index: IntArray) -> Numbers:
        valid = self.valid if isinstance(self.valid, bool) else self.valid[index]
        return Numbers(self.type, self.values[index], valid)

    def where(self, mask: Mask) -> Numbers:
        return Numbers(self.type, self.values, mask_and(self.valid, mask))


@dataclass(frozen=True, slots=True)
class Texts:
    """Strings: int32 codes into ``dictionary``; where not valid, -1 or any code."""

    codes: npt.NDArray[np.int32]
    dictionary: pa.StringArray
    valid: Mask

    @property
    def type(self) -> ValueType:
        return ValueType.STRING

    def spread(self, index: IntArray) -> Texts:
        valid = self.valid if isinstance(self.valid, bool) else self.valid[index]
        return Texts(self.codes[index], self.dictionary, valid)

    def where(self, mask: Mask) -> Texts:
        return Texts(self.codes, self.dictionary, mask_and(self.valid, mask))

    def plain(self) -> pa.StringArray:
        """Look every row up: (N,) strings, null where there is none."""
        missing = None if self.valid is True else to_array(mask_not(self.valid), len(self.codes))
        codes = pa.array(self.codes, mask=missing)
        return self.dictionary.take(codes)


@dataclass(frozen=True, slots=True)
class Ids:
    """Trace or span IDs: (N, width) bytes; ``stripped``: their text has no leading zeros."""

    raw: npt.NDArray[np.uint8]
    stripped: bool
    valid: Mask = True

    @property
    def type(self) -> ValueType:
        return ValueType.STRING

    def spread(self, index: IntArray) -> Ids:
        valid = self.valid if isinstance(self.valid, bool) else self.valid[index]
        return Ids(self.raw[index], self.stripped, valid)

    def where(self, mask: Mask) -> Ids:
        return Ids(self.raw, self.stripped, mask_and(self.valid, mask))

    def texts(self) -> Texts:
        """Write the IDs as lower-case hex, one dictionary entry a row."""
        rows, width = self.raw.shape
        digits = np.empty((rows, 2 * width), np.uint8)
        digits[:, 0::2] = _HEX_DIGITS[self.raw >> 4]
        digits[:, 1::2] = _HEX_DIGITS[self.raw & 15]
        offsets = np.arange(rows + 1, dtype=np.int64) * 2 * width
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(digits)]
        text = pa.LargeStringArray.from_buffers(rows, buffers[1], buffers[2]).cast(pa.string())
        if self.stripped:
            text = pc.utf8_ltrim(text, characters="0")
            text = pc.if_else(pc.equal(text, ""), "0", text)
        return Texts(np.arange(rows, dtype=np.int32), text, self.valid)


_HEX_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


@dataclass(frozen=True, slots=True)
class Lists:
    """Arrays of two or more elements: row i has ``elements[offsets[i]:offsets[i + 1]]``."""

    elements: Numbers | Texts
    offsets: Offsets
    valid: Mask

    @property
    def type(self) -> ValueType:
        return self.elements.type

    def spread(self, index: IntArray) -> Lists:
        lengths = np.diff(self.offsets)[index]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        element = np.arange(offsets[-1]) + np.repeat(
            self.offsets[:-1][index] - offsets[:-1], lengths
        )
        valid = self.valid if isinstance(self.valid, bool) else self.valid[index]
        return Lists(self.elements.spread(element), offsets, valid)

    def where(self, mask: Mask) -> Lists:
        return Lists(self.elements, self.offsets, mask_and(self.valid, mask))

    def rows_of_elements(self) -> npt.NDArray[np.int64]:
        """Tell for each element the row that has it."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


Scalar: TypeAlias = Numbers | Texts | Ids
Part: TypeAlias = Scalar | Lists


@dataclass(frozen=True, slots=True)
class Operand:
    """The value of an expression over the rows of a domain.

    ``present``: rows where it is not nil. That is more than where a part is valid, since a key may
    be there without a value (key-value list, bytes, mixed or empty array).
    """

    parts: tuple[Part, ...]
    present: Mask

    @property
    def valued(self) -> Mask:
        """Rows that have a value."""
        mask: Mask = False
        for part in self.parts:
            mask = mask_or(mask, part.valid)
        return mask

    def spread(self, index: IntArray) -> Operand:
        """Spread to spans: ``index`` is the row of each span in the small domain."""
        present = self.present if isinstance(self.present, bool) else self.present[index]
        return Operand(tuple(part.spread(index) for part in self.parts), present)

    def repeated(self, rows: int) -> Operand:
        """Give each of many rows the value of the one row there is, without a copy of it."""
        parts: list[Part] = []
        for part in self.parts:
            if isinstance(part, Numbers):
                parts.append(Numbers(part.type, np.broadcast_to(part.values, rows), part.valid))
            else:
                parts.append(part.spread(np.zeros(rows, np.int32)))
        return Operand(tuple(parts), self.present)

    def else_(self, other: Operand) -> Operand:
        """Take the value of ``other`` where this one is nil."""
        missing = mask_not(self.present)
        rest = tuple(part.where(missing) for part in other.parts)
        return Operand(self.parts + rest, mask_or(self.present, mask_and(missing, other.present)))


NIL = Operand((), False)


def is_same_memory(left: pa.StringArray, right: pa.StringArray) -> bool:
    """Tell whether two dictionaries are one and the same."""
    if len(left) != len(right) or left.offset != right.offset:
        return False
    buffers = zip(left.buffers()[1:], right.buffers()[1:], strict=True)
    return all(
        (one.address if one else 0) == (other.address if other else 0) for one, other in buffers
    )


def booleans(mask: Mask, rows: int) -> Operand:
    """Make the operand of a condition: never nil."""
    values = np.full(rows, mask) if isinstance(mask, bool) else mask
    return Operand((Numbers(ValueType.BOOLEAN, values, True),), True)


def truth(operand: Operand) -> Mask:
    """Mark the rows whose value is the boolean true (reference 4.7)."""
    mask: Mask = False
    for part in operand.parts:
        if isinstance(part, Numbers) and part.type == ValueType.BOOLEAN:
            mask = mask_or(mask, mask_and(part.valid, part.values.astype(np.bool_, copy=False)))
    return mask
