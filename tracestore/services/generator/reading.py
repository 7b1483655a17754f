"""Spans as they come: what is new in a head, with texts and attributes as numbers of a vocabulary.

A head only grows, so the reader remembers how far it has read and what number the vocabulary has
for each text of the head. Nothing here is done per span in Python; values that are no texts are
written as texts together.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracestore.kernel import (
    SpanBuilder,
    arrived_keys,
    arrived_resources,
    arrived_spans,
    arrived_texts,
    arrived_value_texts,
    arrived_values,
)
from tracestore.model.tables import AttributeType, Table
from tracestore.services.generator.vocabulary import ABSENT, EMPTY, Numbers, Vocabulary

SPANS_PER_BATCH = 65536
"""A reading of more is cut, so that its arrays stay in the caches."""
TEXTS = (AttributeType.STRING, AttributeType.ANY)
LISTS = (
    AttributeType.STRING_LIST,
    AttributeType.INT_LIST,
    AttributeType.FLOAT_LIST,
    AttributeType.BOOL_LIST,
)

TextsOf = Callable[[Numbers], pa.StringArray]
"""Numbers of a head -> their texts."""
NumbersOf = Callable[[pa.StringArray], npt.NDArray[np.float64]]
UNKNOWN = -2
"""In place of a number: not yet looked up."""


class _Known:
    """What is known of each text of a dictionary that grows."""

    def __init__(self, kind: type[np.generic], unknown: float) -> None:
        self._unknown = unknown
        self._values = np.empty(0, kind)

    def of(self, codes: Numbers, look_up: Callable[[Numbers], npt.NDArray[Any]]) -> Any:
        """Get a value for each code; those of new codes are looked up together."""
        missing = int(codes.max(initial=-1)) + 1 - len(self._values)
        if missing > 0:
            room = np.full(max(missing, len(self._values) // 2), self._unknown, self._values.dtype)
            self._values = np.concatenate([self._values, room])
        found = self._values[codes]
        new = found == self._unknown
        if not new.any():
            return found
        distinct = np.unique(codes[new])
        self._values[distinct] = look_up(distinct)
        return self._values[codes]


class HeadReader:
    """How far a head was read, and its texts by number."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.rows = 0
        """Spans read or skipped."""
        self._texts: dict[object, _Known] = {}
        self._derived: dict[object, _Known] = {}
        self._of_resources: dict[str, Numbers] = {}

    def forget(self, vocabulary: Vocabulary) -> None:
        """Go on with another vocabulary; what was read stays read."""
        self.vocabulary = vocabulary
        self._texts.clear()
        self._of_resources.clear()

    def read(self, builder: SpanBuilder, stop: int) -> SpanBatch:
        """Read on, up to a row."""
        start, self.rows = self.rows, stop
        return SpanBatch(self, builder, start, stop)

    def translate(self, key: object, texts: TextsOf, codes: Numbers) -> Numbers:
        """Get the numbers of texts of a dictionary of the head, by the head's own numbers."""
        known = self._texts.setdefault(key, _Known(np.int32, UNKNOWN))
        found: Numbers = known.of(codes, lambda new: self.vocabulary.numbers(texts(new)))
        return found

    def derive(
        self, key: object, texts: TextsOf, codes: Numbers, what: NumbersOf
    ) -> npt.NDArray[np.float64]:
        """Get what follows from texts of a dictionary of the head."""
        known = self._derived.setdefault(key, _Known(np.float64, -np.inf))
        found: npt.NDArray[np.float64] = known.of(codes, lambda new: what(texts(new)))
        return found

    def resource_numbers(self, builder: SpanBuilder, key: str, count: int) -> Numbers:
        """Get the value of an attribute of each resource: (count,), ``ABSENT`` without."""
        known = self._of_resources.get(key)
        if known is None:
            known = np.empty(0, np.int32)
        if len(known) < count:
            new = self.numbers_of(builder, Table.RESOURCES, key, len(known), count)
            if new is None:
                new = np.full(count - len(known), ABSENT, np.int32)
            known = self._of_resources[key] = np.concatenate([known, new])
        return known[:count]

    def numbers_of(
        self, builder: SpanBuilder, table: Table, key: str, start: int, stop: int
    ) -> Numbers | None:
        """Get the first value of a key in rows of a table, as text: (stop - start,).

        Returns: None if no row has it.
        """
        parts = arrived_values(builder, table, key, start, stop)
        if not parts:
            return None
        found = np.full(stop - start, ABSENT, np.int32)
        for kind, column, rows, values in parts:
            if values is None:
                continue
            found[np.asarray(rows) - start] = self._numbers(builder, table, kind, column, values)
        return found

    def _numbers(
        self, builder: SpanBuilder, table: Table, kind: AttributeType, column: int, values: Any
    ) -> Numbers | int:
        if column < 0:
            return self.vocabulary.number(text_of(kind, values))
        if kind not in TEXTS:
            return self.vocabulary.numbers(texts_of(kind, values))

        def texts_of_codes(codes: Numbers) -> pa.StringArray:
            texts = arrived_value_texts(builder, table, column, codes)
            if kind is AttributeType.STRING:
                return texts
            return pa.array([json_text(text) for text in texts.to_pylist()], pa.string())

        return self.translate((table, column), texts_of_codes, values)


class SpanBatch:
    """Spans that came one after another. What is asked for twice is made once."""

    def __init__(self, reader: HeadReader, builder: SpanBuilder, start: int, stop: int) -> None:
        self.vocabulary = reader.vocabulary
        self.rows, self.trace_ids = arrived_spans(builder, start, stop)
        self._reader = reader
        self._builder = builder
        self._start = start
        self._stop = stop
        self._resources = arrived_resources(builder)
        self._chosen: npt.NDArray[np.int64] | None = None
        self._made: dict[object, Any] = {}

    def only(self, chosen: npt.NDArray[np.int64]) -> SpanBatch:
        """Get some of the spans, in order."""
        found = copy.copy(self)
        found.rows, found.trace_ids = self.rows[chosen], self.trace_ids[chosen]
        found._chosen = chosen if self._chosen is None else self._chosen[chosen]
        found._made = {}
        return found

    def __len__(self) -> int:
        return len(self.rows)

    def _once(self, key: object, make: Callable[[], Any]) -> Any:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def field(self, name: str) -> npt.NDArray[Any]:
        """Get a field of the rows, (n,), contiguous."""
        found: npt.NDArray[Any] = self._once(name, lambda: np.ascontiguousarray(self.rows[name]))
        return found

    @property
    def end_ns(self) -> npt.NDArray[np.int64]:
        """(n,) wall clock, unix nanoseconds."""
        found: npt.NDArray[np.int64] = self._once(
            "end_ns", lambda: self.field("start_ns").view(np.int64) + self.field("duration")
        )
        return found

    @property
    def seconds(self) -> npt.NDArray[np.float64]:
        """(n,) durations, a negative one as 0."""
        found: npt.NDArray[np.float64] = self._once(
            "seconds", lambda: np.maximum(self.field("duration"), 0) / 1e9
        )
        return found

    def text(self, column: str) -> Numbers:
        """Get ``name``, ``status_message`` or ``trace_state``: (n,)."""

        def make() -> Numbers:
            texts = partial(arrived_texts, self._builder, column)
            return self._reader.translate(column, texts, self.field(column))

        found: Numbers = self._once(("text", column), make)
        return found

    def derived(self, column: str, what: NumbersOf) -> npt.NDArray[np.float64]:
        """Get a number that follows from a text of the spans: (n,).

        Args: what: from texts to numbers, none of them -inf, always the same.
        """
        texts = partial(arrived_texts, self._builder, column)
        return self._reader.derive((column, what), texts, self.field(column), what)

    @property
    def services(self) -> Numbers:
        """(n,) ``service.name``, ``ABSENT`` without."""
        return self.resource_attribute("service.name")

    def attribute(self, key: str) -> Numbers:
        """Get an attribute of the resource, else of the span: (n,), ``ABSENT`` without.

        An empty text is as good as none: labels know no difference.
        """
        return self._or_absent(self.find(key))

    def find(self, key: str) -> Numbers | None:
        """Do the same; None if no span has it."""

        def make() -> Numbers | None:
            own, of_resources = self.find_own(key), self.of_resources(key)
            if (of_resources <= EMPTY).all():
                return own
            shared: Numbers = of_resources[self.field("resource")]
            return shared if own is None else np.where(shared <= EMPTY, own, shared)

        found: Numbers | None = self._once(("any", key), make)
        return found

    def span_attribute(self, key: str) -> Numbers:
        """Get an attribute of the spans: (n,), ``ABSENT`` without."""
        return self._or_absent(self.find_own(key))

    def find_own(self, key: str) -> Numbers | None:
        """Do the same; None if no span has it."""

        def make() -> Numbers | None:
            reader, start, stop = self._reader, self._start, self._stop
            found = reader.numbers_of(self._builder, Table.SPANS, key, start, stop)
            return None if found is None else self._some(found)

        found: Numbers | None = self._once(("span", key), make)
        return found

    def _or_absent(self, numbers: Numbers | None) -> Numbers:
        return np.full(len(self), ABSENT, np.int32) if numbers is None else numbers

    def _some(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return values if self._chosen is None else values[self._chosen]

    def resource_attribute(self, key: str) -> Numbers:
        """Get an attribute of the resources of the spans: (n,)."""
        found: Numbers = self._once(
            ("resource", key), lambda: self.of_resources(key)[self.field("resource")]
        )
        return found

    def of_resources(self, key: str) -> Numbers:
        """Get an attribute of each resource of the head: (R,)."""
        return self._reader.resource_numbers(self._builder, key, self._resources)

    def resource_keys(self) -> list[str]:
        """Name the attributes that resources of the head have."""
        keys: list[str] = arrived_keys(self._builder, Table.RESOURCES, 0).to_pylist()
        return keys

    def ratios(self, key: str) -> npt.NDArray[np.float64]:
        """Get an attribute that is a double, of the span, else of the resource: (n,), else NaN."""
        own = self._some(self._doubles(Table.SPANS, key, self._start, self._stop))
        shared = self._doubles(Table.RESOURCES, key, 0, self._resources)[self.field("resource")]
        return np.where(np.isnan(own), shared, own)

    def _doubles(self, table: Table, key: str, start: int, stop: int) -> npt.NDArray[np.float64]:
        found = np.full(stop - start, np.nan)
        for kind, _, rows, values in arrived_values(self._builder, table, key, start, stop):
            if kind is AttributeType.FLOAT:
                found[np.asarray(rows) - start] = values
        return found


def texts_of(kind: AttributeType, values: Any) -> pa.StringArray:
    """Write values that are no texts as texts, as Tempo writes them."""
    if kind is AttributeType.BOOL:
        return pc.if_else(pa.array(values), "true", "false")
    if kind is AttributeType.INT:
        return pc.cast(pa.array(values), pa.string())
    if kind is AttributeType.FLOAT:
        return _float_texts(pa.array(values))
    assert kind in LISTS, kind
    items = values.values
    if kind is not AttributeType.STRING_LIST:
        scalar = AttributeType(kind.value.removesuffix("[]"))
        items = texts_of(scalar, items.to_numpy(zero_copy_only=False))
    joined = pc.binary_join(pa.ListArray.from_arrays(values.offsets, items), "")
    return pc.binary_join_element_wise("[", joined, "]", "")


def _float_texts(values: pa.Array) -> pa.StringArray:
    texts = pc.cast(values, pa.string())
    odd = pc.match_substring_regex(texts, r"[eafi]")  # exponents, nan and inf
    if pc.any(odd).as_py():
        plain = [
            float_text(value) if is_odd else text
            for value, text, is_odd in zip(
                values.to_pylist(), texts.to_pylist(), odd.to_pylist(), strict=True
            )
        ]
        texts = pa.array(plain, pa.string())
    return pc.replace_substring_regex(texts, r"\.0$", "")


def float_text(value: float) -> str:
    """Write a number without exponent, with as few digits as read back as it."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    text = np.format_float_positional(value, trim="-")
    return "-0" if text == "-" else text


def text_of(kind: AttributeType, value: Any) -> str:
    """Write one value as text."""
    if kind is AttributeType.STRING:
        return str(value)
    if kind is AttributeType.ANY or kind in LISTS:
        return json_text(value)
    (text,) = texts_of(kind, np.array([value])).to_pylist()
    return str(text)


def json_text(text: str) -> str:
    """Write an AnyValue that is OTLP JSON as Tempo writes it: ``[a b]`` without the blank."""
    return _any_text(json.loads(text))


def _any_text(value: Mapping[str, Any]) -> str:
    for member, content in value.items():
        if member == "boolValue":
            return "true" if content else "false"
        if member == "doubleValue":
            return float_text(float(content))
        if member == "arrayValue":
            return "[" + "".join(_any_text(item) for item in content["values"]) + "]"
        if member == "kvlistValue":
            pairs = (
                f"{pair['key']}:{_any_text(pair.get('value', {}))}" for pair in content["values"]
            )
            return "{" + "".join(pairs) + "}"
        if member in ("stringValue", "intValue"):
            return str(content)
    return ""


def present_or_empty(numbers: Numbers) -> Numbers:
    """Put the empty text where an attribute is absent."""
    return np.where(numbers == ABSENT, np.int32(EMPTY), numbers)
