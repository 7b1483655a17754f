"""Comparisons: operands in, one boolean mask out; no I/O, no state.

Text conditions are evaluated once per dictionary entry and spread by code. Ints compare as ints,
other mixes of numbers as float64. A row without a value, or with one of a type that does not match,
is never marked, whatever the operator.

Source: TraceQL reference, 3.2, 4.5, 4.9, 4.11.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from traceql.operators import Operator
from traceql.values import ValueType
from tracestore.query.masks import BoolArray, Mask, mask_and, mask_or, take, to_array
from tracestore.query.parts import Ids, Lists, Numbers, Operand, Part, Texts, is_same_memory

NEGATIVE = (Operator.NE, Operator.NOT_MATCH)
"""What an array must satisfy with all elements instead of any."""
_COMPARE: dict[Operator, Callable[[Any, Any], Any]] = {
    Operator.EQ: operator.eq,
    Operator.NE: operator.ne,
    Operator.LT: operator.lt,
    Operator.LE: operator.le,
    Operator.GT: operator.gt,
    Operator.GE: operator.ge,
}
_ARROW: dict[Operator, Callable[[Any, Any], Any]] = {
    Operator.EQ: pc.equal,
    Operator.NE: pc.not_equal,
    Operator.LT: pc.less,
    Operator.LE: pc.less_equal,
    Operator.GT: pc.greater,
    Operator.GE: pc.greater_equal,
}
NUMERIC = (ValueType.INT, ValueType.FLOAT, ValueType.DURATION)
PLAIN_NUMERIC = (ValueType.INT, ValueType.FLOAT)
ORDERED = (*NUMERIC, ValueType.STRING)


TextMatcher = Callable[[pa.StringArray], BoolArray]
"""(K,) dictionary entries -> (K,) whether a pattern matches the whole of each."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant to compare with.

    ``matcher`` belongs to the operators ``=~`` and ``!~``. ``id_value`` is the number that the text
    is as hex digits, None if it is no hex: what it means beside an ID.
    """

    type: ValueType
    value: int | float | str | bool
    matcher: TextMatcher | None = None

    @property
    def id_value(self) -> int | None:
        text = self.value
        if not isinstance(text, str) or not text or not all(c in _HEX for c in text):
            return None
        return int(text, 16)


_HEX = frozenset("0123456789abcdefABCDEF")


class Comparison:
    """``x operator literal``, for any x; remembers its answer for the last dictionary.

    The chunks of a live column share one dictionary, which may be large: so each column that is
    compared gets a ``copy``.
    """

    def __init__(self, operator: Operator, literal: Literal) -> None:
        self.operator = operator
        self.literal = literal
        self._last: tuple[pa.StringArray, BoolArray] | None = None

    def copy(self) -> Comparison:
        """Make another that remembers for itself."""
        return Comparison(self.operator, self.literal)

    def entries(self, dictionary: pa.StringArray) -> BoolArray:
        """Compare the entries of a dictionary: (K,) mask."""
        if self._last is None or not self._knows(dictionary):
            self._last = dictionary, mask_entries(dictionary, self.operator, self.literal)
        return self._last[1]

    def is_cheaper_for(self, rows: int, dictionary: pa.StringArray) -> bool:
        """Tell whether looking at the entries of so few rows costs less than at all entries."""
        is_regex = self.operator in (Operator.MATCH, Operator.NOT_MATCH)
        return is_regex and rows * 2 < len(dictionary) and not self._knows(dictionary)

    def _knows(self, dictionary: pa.StringArray) -> bool:
        return self._last is not None and is_same_memory(self._last[0], dictionary)


def mask_literal(
    operand: Operand, comparison: Comparison, *, generic: bool, within: Mask = True
) -> Mask:
    """Mark the rows of ``within`` for which ``operand comparison literal`` holds.

    Args:
        generic: the operand is a generic attribute: its type must be the literal's, numbers being
            one type, and a duration is no number then.
    """
    mask: Mask = False
    for part in operand.parts:
        if _matches(part.type, comparison.literal.type, generic=generic):
            mask = mask_or(mask, _mask_part(part, comparison, within))
    return mask_and(within, mask)


def _matches(left: ValueType, right: ValueType, *, generic: bool) -> bool:
    numeric = PLAIN_NUMERIC if generic else NUMERIC
    return (left in numeric and right in numeric) or left == right


def _mask_part(part: Part, comparison: Comparison, within: Mask = True) -> Mask:
    match part:
        case Numbers():
            return mask_and(part.valid, _mask_numbers(part, comparison))
        case Texts():
            return _mask_texts(part, comparison, within)
        case Ids():
            if comparison.operator in (Operator.EQ, Operator.NE):
                return mask_and(part.valid, _mask_ids(part, comparison))
            return _mask_part(part.texts(), comparison)
        case Lists():
            elements = _mask_part(part.elements, comparison)
            return mask_and(part.valid, _reduce(part, comparison.operator, elements))


def _mask_texts(part: Texts, comparison: Comparison, within: Mask) -> Mask:
    """Compare each entry that rows use once; all of them, unless few rows are asked for."""
    if not isinstance(within, bool):
        asked = mask_and(within, part.valid)
        rows = np.flatnonzero(asked)
        if comparison.is_cheaper_for(len(rows), part.dictionary):
            used, place = np.unique(part.codes[rows], return_inverse=True)
            entries = part.dictionary.take(pa.array(used))
            held = mask_entries(entries, comparison.operator, comparison.literal)
            mask = np.zeros(len(part.codes), np.bool_)
            mask[rows[held[place]]] = True
            return mask
    entries = comparison.entries(part.dictionary)
    if part.valid is True:
        return take(entries, part.codes)
    return mask_and(part.valid, take(np.append(entries, False), part.codes))


def _are_exact(left: ValueType, right: ValueType, comparison: Operator) -> bool:
    """Tell whether two numbers compare as integers; otherwise both are taken as float64."""
    if ValueType.FLOAT in (left, right):
        return False
    return left == right or comparison in (Operator.EQ, Operator.NE)


def _mask_numbers(part: Numbers, comparison: Comparison) -> Mask:
    value = comparison.literal.value
    assert not isinstance(value, str)
    compare = _COMPARE[comparison.operator]
    mask: BoolArray
    if _are_exact(part.type, comparison.literal.type, comparison.operator):
        mask = compare(part.values, value)
    else:
        mask = compare(part.values.astype(np.float64, copy=False), float(value))
    return mask


def mask_entries(entries: pa.StringArray, comparison: Operator, literal: Literal) -> BoolArray:
    """Compare the entries of a dictionary with a text, or with a pattern: (K,) mask."""
    if comparison in (Operator.MATCH, Operator.NOT_MATCH):
        assert literal.matcher is not None
        matched = literal.matcher(entries)
        return matched if comparison == Operator.MATCH else ~matched
    assert isinstance(literal.value, str)
    text = literal.value.encode("utf-8", "surrogateescape")  # a query may hold any bytes
    found = _ARROW[comparison](entries.cast(pa.binary()), pa.scalar(text, pa.binary()))
    mask: BoolArray = found.to_numpy(zero_copy_only=False)
    return mask


def _mask_ids(part: Ids, comparison: Comparison) -> Mask:
    """Compare IDs with a number of any width (reference 4.11)."""
    width, wanted = part.raw.shape[1], comparison.literal.id_value
    if wanted is None or wanted >> 8 * width:
        return comparison.operator == Operator.NE
    words = np.ascontiguousarray(part.raw).view(">u8")
    mask = np.ones(len(words), np.bool_)
    for number, word in enumerate(
        wanted.to_bytes(width, "big")[i : i + 8] for i in range(0, width, 8)
    ):
        mask &= words[:, number] == int.from_bytes(word, "big")
    return mask if comparison.operator == Operator.EQ else ~mask


def _reduce(part: Lists, comparison: Operator, elements: Mask) -> Mask:
    """Join what was found of elements: any of them, or all for ``!=`` and ``!~``."""
    if isinstance(elements, bool):
        return elements
    counts = np.concatenate(([0], np.cumsum(elements)))
    found = counts[part.offsets[1:]] - counts[part.offsets[:-1]]
    mask: BoolArray = found == np.diff(part.offsets) if comparison in NEGATIVE else found > 0
    return mask


def mask_operands(left: Operand, comparison: Operator, right: Operand, rows: int) -> Mask:
    """Mark the rows for which ``left comparison right`` holds, both over the same rows."""
    mask: Mask = False
    for one in left.parts:
        for other in right.parts:
            mask = mask_or(mask, _mask_pair(one, comparison, other, rows))
    return mask


def _mask_pair(left: Part, comparison: Operator, right: Part, rows: int) -> Mask:
    if not _matches(left.type, right.type, generic=False):
        return False
    if left.type not in ORDERED and comparison not in (Operator.EQ, Operator.NE):
        return False
    valid = mask_and(left.valid, right.valid)
    if valid is False:
        return False
    match left, right:
        case Lists(), Lists():
            return False
        case Lists(), _:
            other = right.spread(left.rows_of_elements())
            elements = _mask_pair(left.elements, comparison, other, len(left.rows_of_elements()))
            return mask_and(valid, _reduce(left, comparison, elements))
        case _, Lists():
            return _mask_pair(right, comparison.mirror, left, rows)
        case Numbers(), Numbers():
            return mask_and(valid, _mask_number_pair(left, comparison, right))
    return mask_and(valid, _mask_text_pair(left, comparison, right, rows))


def _mask_number_pair(left: Numbers, comparison: Operator, right: Numbers) -> Mask:
    one, other = left.values, right.values
    if not _are_exact(left.type, right.type, comparison):
        one, other = one.astype(np.float64), other.astype(np.float64)
    mask: BoolArray = _COMPARE[comparison](one, other)
    return mask


def _mask_text_pair(left: Part, comparison: Operator, right: Part, rows: int) -> Mask:
    if isinstance(left, Ids) or isinstance(right, Ids):
        same = comparison in (Operator.EQ, Operator.NE)
        left, right = _as_texts(left, bare=same), _as_texts(right, bare=same)
    assert isinstance(left, Texts)
    assert isinstance(right, Texts)
    if comparison not in _ARROW:
        return False
    found = _ARROW[comparison](left.plain(), right.plain())
    mask: BoolArray = found.fill_null(False).to_numpy(zero_copy_only=False)
    return to_array(mask, rows)


def _as_texts(part: Part, *, bare: bool) -> Texts:
    """Write IDs as texts; ``bare``: they and what meets them, without case and leading zeros."""
    if isinstance(part, Ids):
        return Ids(part.raw, bare or part.stripped, part.valid).texts()
    assert isinstance(part, Texts)
    if not bare:
        return part
    text = part.dictionary
    trimmed = pc.utf8_ltrim(pc.utf8_lower(text), characters="0")
    is_hex = pc.match_substring_regex(text, "^[0-9a-fA-F]+$")
    same = pc.if_else(is_hex, pc.if_else(pc.equal(trimmed, ""), "0", trimmed), text)
    return Texts(part.codes, same, part.valid)
