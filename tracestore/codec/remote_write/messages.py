"""Requests of remote write: ``prometheus.WriteRequest`` (1.0) and
``io.prometheus.write.v2.Request`` (2.0), compressed as a snappy block.

Source: Prometheus, "Remote-Write 1.0" and "Remote-Write 2.0"; prometheus/prompb.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from tracestore.codec.proto.remote_write_v1_pb2 import MetricMetadata, WriteRequest
from tracestore.codec.remote_write import fields
from tracestore.codec.remote_write.arena import varint
from tracestore.codec.remote_write.fields import Ints, Pieces
from tracestore.codec.remote_write.outgoing import Batch
from tracestore.codec.remote_write.symbols import METRIC_TYPES, SymbolRows
from tracestore.model.collection import Family

_BYTES: Final = pa.large_binary()


def encode_v1(batch: Batch, labels: Pieces) -> bytes:
    """Write a request of 1.0.

    Args:
        labels: fields of the labels, by row of the table.
    """
    entries = batch.entries
    part = labels.take(pa.array(entries.rows[batch.start : batch.stop]))
    series = [part, _items(batch, 0x12, b"\x22")]
    if batch.counts.exemplars:
        series.append(_exemplars(batch, b"\x1a", _label_fields(batch)))
    return fields.content(fields.framed(b"\x0a", *series))


def encode_v2(batch: Batch, symbols: SymbolRows) -> bytes:
    """Write a request of 2.0, with the symbols that it needs and no others."""
    rows = batch.entries.rows[batch.start : batch.stop]
    used, refs, first, helps = _local(symbols, rows)
    labels = fields.framed(b"\x0a", fields.grouped(fields.varints(refs), first))
    metadata = fields.framed(
        b"\x2a", b"\x08", fields.varints(symbols.types[rows]), b"\x18", fields.varints(helps)
    )
    series = [labels, _items(batch, 0x12, b"\x1a")]
    texts = [fields.content(symbols.fields.take(pa.array(used)))]
    if batch.counts.exemplars:
        exemplar_refs, more = _exemplar_refs(batch, len(used))
        series.append(_exemplars(batch, b"\x22", exemplar_refs))
        texts.append(more)
    message = fields.framed(b"\x2a", *series, metadata)
    return b"".join(texts) + fields.content(message)


def encode_metadata(families: Iterable[Family]) -> bytes:
    """Write a request of 1.0 that has type and help of metrics, and no samples."""
    request = WriteRequest()
    for family in families:
        request.metadata.add(
            type=MetricMetadata.MetricType.Name(METRIC_TYPES[family.type]),
            metric_family_name=family.name,
            help=family.help,
        )
    encoded: bytes = request.SerializeToString()
    return encoded


def compress(message: bytes) -> bytes:
    """Compress a message as one snappy block (no frames)."""
    compressed: bytes = pa.Codec("snappy").compress(message, asbytes=True)
    return compressed


def _items(batch: Batch, sample_tag: int, histogram_tag: bytes) -> Pieces:
    """Write the samples or histograms of each entry."""
    entries = batch.entries
    first = entries.first[batch.start : batch.stop + 1]
    start, stop = int(first[0]), int(first[-1])
    if entries.bodies is None:
        items = fields.samples(sample_tag, entries.values[start:stop], entries.times_ms[start:stop])
    else:
        items = fields.framed(histogram_tag, entries.bodies.slice(start, stop - start))
    return fields.grouped(items, first - start)


def _exemplars(batch: Batch, tag: bytes, labels: Pieces) -> Pieces:
    exemplars = batch.entries.exemplars
    first = exemplars.first[batch.start : batch.stop + 1]
    start, stop = int(first[0]), int(first[-1])
    items = fields.framed(
        tag,
        fields.framed(b"\x0a", labels),
        fields.doubles(0x11, exemplars.values[start:stop]),
        b"\x18",
        fields.varints(exemplars.times_ms[start:stop]),
    )
    return fields.grouped(items, first - start)


def _exemplar_ids(batch: Batch) -> Sequence[str]:
    exemplars = batch.entries.exemplars
    return exemplars.ids[int(exemplars.first[batch.start]) : int(exemplars.first[batch.stop])]


def _label_fields(batch: Batch) -> Pieces:
    """Write the one label of each exemplar for 1.0."""
    name = batch.entries.exemplars.label.encode()
    ids = pa.array([each.encode() for each in _exemplar_ids(batch)], _BYTES)
    return fields.joined(b"\x0a" + varint(len(name)) + name, fields.framed(b"\x12", ids))


def _exemplar_refs(batch: Batch, symbols: int) -> tuple[Pieces, bytes]:
    """Write the labels of exemplars for 2.0, and the symbols that come behind the others."""
    names = {batch.entries.exemplars.label: 0}
    numbers = [names.setdefault(each, len(names)) for each in _exemplar_ids(batch)]
    texts = [text.encode() for text in names]
    refs = fields.joined(varint(symbols), fields.varints(np.asarray(numbers, np.int64) + symbols))
    return refs, b"".join(b"\x22" + varint(len(text)) + text for text in texts)


def _local(symbols: SymbolRows, rows: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Number the symbols of a request anew.

    Returns: symbols in use, the empty one first; labels of all rows by their place among them;
        where each row begins in those; help of each row.
    """
    begins, sizes = symbols.first[rows], symbols.first[rows + 1] - symbols.first[rows]
    first = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(sizes, out=first[1:])
    ids = symbols.ids[np.repeat(begins - first[:-1], sizes) + np.arange(first[-1])]
    mark = np.zeros(len(symbols.fields), np.bool_)
    mark[0] = True
    mark[ids] = True
    mark[symbols.helps[rows]] = True
    used = np.flatnonzero(mark)
    place = np.empty(len(mark), np.int64)
    place[used] = np.arange(len(used))
    return used, place[ids], first, place[symbols.helps[rows]]
