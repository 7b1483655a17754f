"""How often each value occurs: counted in columns, merged over sources, bounded by bytes of text.

Values are kept as Arrow arrays of texts by type, so that merging those of a hundred sources is one
hash of all texts. Nothing here reads.

Source: TraceQL reference, 7.2, 7.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from traceql.values import ValueType, float_text
from tracestore.codec.filters import ColumnFilter
from tracestore.model.tables import AttributeType
from tracestore.model.tags import TagType, TagValues
from tracestore.query.masks import Mask, mask_and, to_array
from tracestore.query.parts import Ids, Lists, Numbers, Operand, Texts

MERGED_BYTES_MIN = 1 << 20
"""Text that may wait before what is there is merged."""

Counts = npt.NDArray[np.int64]
_OFFSET_BYTES = 4
_NO_TEXTS = pa.array([], pa.string())

TAG_TYPES = {
    ValueType.STRING: TagType.STRING,
    ValueType.INT: TagType.INT,
    ValueType.FLOAT: TagType.FLOAT,
    ValueType.BOOLEAN: TagType.BOOL,
}
_LISTED_TYPES = {
    AttributeType.STRING: TagType.STRING,
    AttributeType.INT: TagType.INT,
    AttributeType.FLOAT: TagType.FLOAT,
    AttributeType.BOOL: TagType.BOOL,
}


@dataclass(frozen=True, slots=True)
class Batch:
    """Values of one type, maybe some of them twice: (K,) texts and how often each occurs."""

    type: TagType
    texts: pa.StringArray
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Values that were counted: a batch a type, each value once, in no order."""

    batches: tuple[Batch, ...] = ()
    is_cut: bool = False
    """Whether their texts were too long together."""
    inspected_bytes: int = 0
    """What a query that finds them in the cache has looked at, as if it had read it."""

    @property
    def nbytes(self) -> int:
        """Bytes held in memory."""
        return sum(one.texts.nbytes + one.counts.nbytes for one in self.batches)

    def ranked(self, limit: int = 0) -> TagValues:
        """List the values, most frequent first, ties by type and text; 0: all of them."""
        joined = _Joined(self.batches)
        order = joined.rank(limit)
        types = [batch.type for batch in self.batches]
        return TagValues(
            types=tuple(types[number] for number in joined.types[order].tolist()),
            texts=tuple(joined.texts.take(pa.array(order)).to_pylist()),
        )

    def first(self, count: int) -> Counted:
        """Keep the first of the values in order."""
        joined = _Joined(self.batches)
        return Counted(batches=joined.keep(joined.rank(0)[:count]), is_cut=self.is_cut)


class ValueCounts:
    """Counts values; owned by one query.

    Past ``bytes_max`` of distinct text it ``is_full``: the most frequent values that fit stay, and
    nothing more should be added.
    """

    def __init__(self, bytes_max: int) -> None:
        """Take the bound; 0 is none."""
        self._bytes_max = bytes_max
        self._pending: list[Batch] = []
        self._merged: tuple[Batch, ...] = ()
        self._pending_bytes = 0
        self._merged_bytes = 0
        self.is_full = False

    def add(self, batch: Batch) -> None:
        """Add values of a source."""
        self._pending.append(batch)
        self._pending_bytes += batch.texts.nbytes - _OFFSET_BYTES * len(batch.texts)
        if self._pending_bytes > (self._bytes_max or MERGED_BYTES_MIN) + self._merged_bytes:
            self._merge()

    def extend(self, counted: Counted) -> None:
        """Add what was counted elsewhere; if that was cut, so is this."""
        for batch in counted.batches:
            self.add(batch)
        self.is_full |= counted.is_cut

    def counted(self) -> Counted:
        """Get what is known by now."""
        if self._pending:
            self._merge()
        return Counted(batches=self._merged, is_cut=self.is_full)

    def _merge(self) -> None:
        by_type: dict[TagType, list[Batch]] = {}
        for batch in [*self._merged, *self._pending]:
            by_type.setdefault(batch.type, []).append(batch)
        self._merged = tuple(_merge(batches) for _, batches in sorted(by_type.items()))
        self._pending, self._pending_bytes = [], 0
        self._merged_bytes = sum(_text_bytes(batch.texts) for batch in self._merged)
        if self._bytes_max and self._merged_bytes > self._bytes_max:
            self.is_full = True
            self._merged = _most_frequent(self._merged, self._bytes_max)


class _Joined:
    """The values of several types, one behind the other."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self._batches = batches
        sizes = np.array([len(batch.texts) for batch in batches], np.int64)
        self.types = np.repeat(np.arange(len(batches)), sizes)
        self.texts = pa.concat_arrays([_NO_TEXTS, *(batch.texts for batch in batches)])
        self.counts = np.concatenate([np.zeros(0, np.int64), *(one.counts for one in batches)])

    def rank(self, limit: int) -> npt.NDArray[np.int64]:
        """Find the first places in order: by frequency, then type and text; 0: all of them."""
        places = np.arange(len(self.counts))
        if 0 < limit < len(places):
            least = np.partition(self.counts, -limit)[-limit]
            places = np.flatnonzero(self.counts >= least)
        taken = self.texts.take(pa.array(places))
        table = pa.table({"n": self.counts[places], "type": self.types[places], "text": taken})
        keys = [("n", "descending"), ("type", "ascending"), ("text", "ascending")]
        order = pc.sort_indices(table, sort_keys=keys).to_numpy()
        ranked: npt.NDArray[np.int64] = places[order[: limit or None]]
        return ranked

    def keep(self, places: npt.NDArray[np.int64]) -> tuple[Batch, ...]:
        """Leave out the values in other places."""
        found = []
        for number, batch in enumerate(self._batches):
            kept = places[self.types[places] == number]
            if len(kept):
                texts = self.texts.take(pa.array(kept))
                found.append(Batch(batch.type, texts, self.counts[kept]))
        return tuple(found)


def _merge(batches: list[Batch]) -> Batch:
    texts = pa.concat_arrays([batch.texts for batch in batches])
    counts = np.concatenate([batch.counts for batch in batches])
    codes = texts.dictionary_encode()
    summed = np.bincount(codes.indices.to_numpy(), counts, minlength=len(codes.dictionary))
    return Batch(batches[0].type, codes.dictionary, summed.astype(np.int64))


def _text_bytes(texts: pa.StringArray) -> int:
    return pc.sum(pc.binary_length(texts)).as_py() or 0


def _most_frequent(batches: Sequence[Batch], bytes_max: int) -> tuple[Batch, ...]:
    """Cut behind the most frequent values whose texts fit; of ties those that came first stay."""
    joined = _Joined(batches)
    order = np.argsort(-joined.counts, kind="stable")
    ends = np.cumsum(pc.binary_length(joined.texts).to_numpy()[order])
    return joined.keep(np.sort(order[: np.searchsorted(ends, bytes_max, side="right")]))


# --- columns -------------------------------------------------------------------------------------


def listed(known: ColumnFilter) -> Batch | None:
    """Get the values that the filters list of a column; None if they do not."""
    if known.listed is None or known.type not in _LISTED_TYPES:
        return None
    texts, counts = known.listed.field("value"), known.listed.field("count").to_numpy()
    if known.type == AttributeType.FLOAT:
        texts = pa.array([float_text(float(text)) for text in texts.to_pylist()], pa.string())
    if not counts.all():
        used = np.flatnonzero(counts)  # a resource that no span has
        texts, counts = texts.take(pa.array(used)), counts[used]
    return Batch(_LISTED_TYPES[known.type], texts, counts)


def count_values(
    operand: Operand, rows: int, mask: Mask, weights: Counts | None = None
) -> Iterator[Batch]:
    """Count the values of an operand, of arrays each element.

    Args:
        mask: (rows,) the rows that count.
        weights: (rows,) how often each of them does; None: once.
    """
    for part in operand.parts:
        valid = to_array(mask_and(part.valid, mask), rows)
        if isinstance(part, Lists):
            owners = part.rows_of_elements()
            of_owners = None if weights is None else weights[owners]
            elements = Operand((part.elements,), True)
            yield from count_values(elements, len(owners), valid[owners], of_owners)
        elif not isinstance(part, Ids) and valid.any():
            yield _count_part(part, np.flatnonzero(valid), weights)


def _count_part(part: Numbers | Texts, rows: Counts, weights: Counts | None) -> Batch:
    of_row = None if weights is None else weights[rows]
    if isinstance(part, Texts):
        counts = np.bincount(part.codes[rows], of_row, minlength=len(part.dictionary))
        used = np.flatnonzero(counts)
        texts = part.dictionary.take(pa.array(used))
        return Batch(TagType.STRING, texts, counts[used].astype(np.int64))
    distinct, places = np.unique(part.values[rows], return_inverse=True)
    return Batch(
        TAG_TYPES[part.type],
        _number_texts(distinct, part.type),
        np.bincount(places, of_row).astype(np.int64),
    )


def _number_texts(values: npt.NDArray[np.generic], kind: ValueType) -> pa.StringArray:
    """Write numbers as answers show them; -0.0 is 0.0, as they are equal."""
    match kind:
        case ValueType.BOOLEAN:
            return pa.array(["true" if value else "false" for value in values], pa.string())
        case ValueType.FLOAT:
            return pa.array([float_text(value + 0.0) for value in values.tolist()], pa.string())
    return pa.array(values).cast(pa.string())
