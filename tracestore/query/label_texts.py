"""Labels of spans as numbers of texts: one numbering over all chunks and sources of a query.

What an attribute or a field of a span is as a label is a text. Texts are numbered as they are met,
and a span has a number for each label: nothing is done in Python but per distinct text of a chunk.
Number 0 is the empty text, which is no label.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from traceql.attributes import Scope
from tracestore.model.span_metrics import value_text
from tracestore.query.bind import Binder
from tracestore.query.columns import numbers, texts, validity
from tracestore.query.fields import Attribute
from tracestore.query.masks import to_array
from tracestore.query.numbering import number_by_first, number_values
from tracestore.query.parts import Domain, Operand, Texts
from tracestore.query.scan import ChunkScan
from tracestore.query.spansets import value_at

Codes = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]


class TextNumbers:
    """The texts that were met."""

    def __init__(self) -> None:
        self.texts: list[str] = [""]
        self._numbers: dict[str, int] = {"": 0}

    def __len__(self) -> int:
        return len(self.texts)

    def number(self, text: str) -> int:
        """Get the number of a text."""
        known = self._numbers.get(text)
        if known is None:
            known = self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return known

    def of_texts(self, found: Sequence[str | None]) -> Codes:
        """Get the numbers of texts; that of None is 0."""
        return np.array([self.number(text or "") for text in found], np.int32)

    def of_pairs(self, left: Codes, right: Codes, join: str) -> Codes:
        """Join two texts of each row by a third, where both are there; else take what there is."""
        found = np.where(left == 0, right, left)
        both = np.flatnonzero((left != 0) & (right != 0))
        keys = left[both].astype(np.int64) * len(self) + right[both]
        places, first = number_by_first(keys)
        pairs = zip(left[both[first]].tolist(), right[both[first]].tolist(), strict=True)
        joined = [f"{self.texts[one]}{join}{self.texts[other]}" for one, other in pairs]
        found[both] = self.of_texts(joined)[places]
        return found


class LabelTexts:
    """What spans of one source are as labels."""

    def __init__(self, binder: Binder, texts: TextNumbers) -> None:
        self.texts = texts
        self._binder = binder
        self._attributes: dict[tuple[Scope, str], Attribute] = {}
        self._of_resources: dict[str, Codes | None] = {}

    def has(self, key: str) -> bool:
        """Tell whether a span or a resource may have an attribute."""
        scopes = (Scope.RESOURCE, Scope.SPAN)
        return not all(self._attribute(scope, key).is_nil for scope in scopes)

    def of_resources(self, scan: ChunkScan, key: str) -> Codes | None:
        """Number what the resources of the source have under a key; None: none has it."""
        if key not in self._of_resources:
            bound = self._attribute(Scope.RESOURCE, key)
            found = None
            if not bound.is_nil:
                operand = scan.operand(bound, Domain.RESOURCE)
                found = self._numbered(operand, scan.rows(Domain.RESOURCE))
            self._of_resources[key] = found
        return self._of_resources[key]

    def of_resource(self, scan: ChunkScan, key: str, rows: Rows | None = None) -> Codes:
        """Number what the resources of some spans have under a key.

        Args:
            rows: (M,) spans of the chunk; None: all.
        """
        found = self.of_resources(scan, key)
        if found is None:
            return _nothing(scan, rows)
        index = scan.index(Domain.RESOURCE)
        return found.take(index if rows is None else index.take(rows))

    def of_span(self, scan: ChunkScan, key: str, rows: Rows | None = None) -> Codes:
        """Number what some spans have under a key."""
        bound = self._attribute(Scope.SPAN, key)
        if bound.is_nil or (rows is not None and len(rows) == 0):
            return _nothing(scan, rows)
        memo = ("label text operand", key)
        if memo not in scan.memo:
            scan.memo[memo] = scan.operand(bound, Domain.SPAN)
        operand: Operand = scan.memo[memo]
        if rows is None:
            return self._numbered(operand, scan.chunk.spans)
        return self._numbered(operand.spread(rows), len(rows))

    def of_either(self, scan: ChunkScan, key: str, rows: Rows | None = None) -> Codes:
        """Number what some spans have under a key in their resource, else by themselves."""
        found = self.of_resource(scan, key, rows)
        missing = np.flatnonzero(found == 0)
        if len(missing) and not self._attribute(Scope.SPAN, key).is_nil:
            asked = missing if rows is None else rows[missing]
            found[missing] = self.of_span(scan, key, asked)
        return found

    def first_of(
        self, scan: ChunkScan, keys: Sequence[str], rows: Rows, *, of_resource: bool
    ) -> Codes:
        """Number the first of some keys that each of some spans has.

        Args:
            of_resource: the resource of the span may have it as well, and goes before.
        """
        found = np.zeros(len(rows), np.int32)
        for key in keys:
            missing = np.flatnonzero(found == 0)
            if len(missing) == 0:
                break
            of = self.of_either if of_resource else self.of_span
            found[missing] = of(scan, key, rows[missing])
        return found

    def of_column(self, scan: ChunkScan, name: str, rows: Rows | None = None) -> Codes:
        """Number a column of spans that holds texts."""
        column = texts(scan.column(Domain.SPAN, name))
        return self._of_texts(column if rows is None else column.spread(rows))

    def of_number(
        self, scan: ChunkScan, name: str, names: Sequence[str], rows: Rows | None = None
    ) -> Codes:
        """Number a column of spans that holds numbers with names; others are their digits."""
        found = numbered(scan, name).astype(np.int64)
        if rows is not None:
            found = found.take(rows)
        places, first = number_by_first(found - found.min(initial=0))
        values = found[first].tolist()
        told = [names[one] if 0 <= one < len(names) else str(one) for one in values]
        return self.texts.of_texts(told).take(places)

    def _attribute(self, scope: Scope, key: str) -> Attribute:
        if (scope, key) not in self._attributes:
            self._attributes[scope, key] = self._binder.attribute(scope, key)
        return self._attributes[scope, key]

    def _numbered(self, operand: Operand, rows: int) -> Codes:
        if not operand.parts or rows == 0:
            return np.zeros(rows, np.int32)
        if len(operand.parts) == 1 and isinstance(operand.parts[0], Texts):
            return self._of_texts(operand.parts[0])
        codes = number_values(operand, rows)
        places, first = number_by_first(codes)
        found = (value_at(operand, row) for row in first.tolist())
        told = [None if value is None else value_text(value) for value in found]
        return self.texts.of_texts(told)[places]

    def _of_texts(self, part: Texts) -> Codes:
        codes = part.codes.astype(np.int64)
        if part.valid is not True:
            codes = np.where(to_array(part.valid, len(codes)), codes, len(part.dictionary))
        used = np.zeros(len(part.dictionary) + 1, np.bool_)
        used[codes] = True
        used[-1] = False
        entries = np.flatnonzero(used)
        table = np.zeros(len(used), np.int32)
        table[entries] = self.texts.of_texts(part.dictionary.take(entries).to_pylist())
        return table.take(codes)


def numbered(scan: ChunkScan, name: str) -> npt.NDArray[Any]:
    """Get a column of spans that holds numbers, 0 where there is none."""
    column = scan.column(Domain.SPAN, name)
    valid = validity(column)
    found = numbers(column)
    return found if valid is True else np.where(to_array(valid, len(found)), found, 0)


def _nothing(scan: ChunkScan, rows: Rows | None) -> Codes:
    return np.zeros(scan.chunk.spans if rows is None else len(rows), np.int32)
