"""Texts in overflow columns, whatever their key: what ``any`` looks through beside the columns.

Source: docs/traceql.md, "a text anywhere"; ``model/tables.py`` (OVERFLOW).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from traceql.attributes import Scope
from tracestore.model.tables import AttributeType, overflow_name
from tracestore.query.columns import numbers
from tracestore.query.expressions import Condition
from tracestore.query.masks import BoolArray, Mask
from tracestore.query.predicates import Comparison, mask_entries
from tracestore.query.scan import ChunkScan
from tracestore.query.source_columns import DOMAIN_OF_SCOPE, STORED_SCOPE, SourceColumns

TEXT_TYPES = (AttributeType.STRING, AttributeType.STRING_LIST)
_COST = 40


@dataclass(eq=False)
class OverflowHolds(Condition):
    """Some text in the overflow column of a scope satisfies a comparison that is not negative.

    Of a repeated key the first value counts, as everywhere.
    """

    columns: SourceColumns
    scope: Scope
    comparison: Comparison

    def __post_init__(self) -> None:
        self.domain, self.cost = DOMAIN_OF_SCOPE[self.scope], _COST

    def mask(self, scan: ChunkScan) -> Mask:
        array = scan.column(self.domain, overflow_name(STORED_SCOPE[self.scope]))
        offsets = array.offsets.to_numpy()
        entries = array.values.slice(offsets[0], offsets[-1] - offsets[0])
        hits = np.flatnonzero(self._mask_entries(entries))
        if len(hits) == 0:
            return False
        rows = np.repeat(np.arange(len(array)), np.diff(offsets))
        found: BoolArray = np.zeros(len(array), np.bool_)
        keys = entries.field("key").dictionary_encode()
        codes = numbers(keys.indices).astype(np.int64)
        first = np.unique(rows * len(keys.dictionary) + codes, return_index=True)[1]
        hits = np.intersect1d(hits, first, assume_unique=True)
        for code in np.unique(codes[hits]).tolist():
            of_key = rows[hits[codes[hits] == code]]
            found[self._not_in_columns(scan, keys.dictionary[code].as_py(), of_key)] = True
        return found

    def _mask_entries(self, entries: pa.StructArray) -> BoolArray:
        kinds, values = entries.field("type"), entries.field("value")
        mask: BoolArray = np.zeros(len(entries), np.bool_)
        asked = partial(
            mask_entries, comparison=self.comparison.operator, literal=self.comparison.literal
        )
        texts = _of_kind(kinds, AttributeType.STRING)
        mask[texts] = asked(values.take(pa.array(texts)))
        lists = _of_kind(kinds, AttributeType.STRING_LIST)
        sent = values.take(pa.array(lists)).dictionary_encode()
        parsed = [json.loads(text) for text in sent.dictionary.to_pylist()]
        flat = asked(pa.array([text for texts in parsed for text in texts], pa.string()))
        owner = np.repeat(np.arange(len(parsed)), [len(texts) for texts in parsed])
        held = np.bincount(owner[flat], minlength=len(parsed)) > 0
        mask[lists] = held[numbers(sent.indices)]
        return mask

    def _not_in_columns(
        self, scan: ChunkScan, key: str, rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Leave out the rows that have an earlier value of the key, in a column of its own."""
        present = self.columns.own_columns(self.scope, key).presence(scan)
        if isinstance(present, bool):
            return rows[:0] if present else rows
        return rows[~present[rows]]


def _of_kind(kinds: pa.StringArray, kind: AttributeType) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = np.flatnonzero(
        pc.equal(kinds, kind.value).to_numpy(zero_copy_only=False)
    )
    return found
