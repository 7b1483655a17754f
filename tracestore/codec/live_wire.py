"""What processes say of their live tables, and the columns themselves, as bytes.

Heads are JSON, columns are Arrow IPC streams. What a peer sends is checked like any input: a
process of another version must get an error, not a wrong answer.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from tracestore.errors import InvalidRequestError
from tracestore.model.chunk import Chunk
from tracestore.model.tables import SpanTables, Table

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceHead:
    """A source that is pinned, all but its columns."""

    id: str
    start_ns: int
    end_ns: int
    rows: Mapping[str, int]
    """By name of the table."""
    schemas: Mapping[str, pa.Schema]
    chunks: tuple[Chunk, ...]

    def to_dict(self) -> dict[str, Any]:
        schemas = {
            name: base64.b64encode(schema.serialize()).decode()
            for name, schema in self.schemas.items()
        }
        return {
            "id": self.id,
            "start_ns": self.start_ns,
            "end_ns": self.end_ns,
            "rows": dict(self.rows),
            "schemas": schemas,
            "chunks": [list(asdict(chunk).values()) for chunk in self.chunks],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SourceHead:
        schemas = {
            name: pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))
            for name, text in values["schemas"].items()
        }
        return cls(
            id=str(values["id"]),
            start_ns=int(values["start_ns"]),
            end_ns=int(values["end_ns"]),
            rows={table.value: int(values["rows"][table.value]) for table in Table},
            schemas={table.value: schemas[table.value] for table in Table},
            chunks=tuple(_chunk(one) for one in values["chunks"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSnapshot:
    """The answer to ``Open``."""

    token: str
    """Names the pinned sources; empty if there are none."""
    index_sequence: int
    """A commit of the index that holds every block whose live tables are not here any more."""
    writers: tuple[str, ...]
    """Writers whose acknowledged spans are in these sources or in blocks of that commit."""
    sources: tuple[SourceHead, ...]

    def encode(self) -> bytes:
        """Write it."""
        values = {
            "format_version": FORMAT_VERSION,
            "token": self.token,
            "index_sequence": self.index_sequence,
            "writers": list(self.writers),
            "sources": [source.to_dict() for source in self.sources],
        }
        return json.dumps(values, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, content: bytes) -> OpenedSnapshot:
        """Read it. Raises: InvalidRequestError."""
        values = _parse(content)
        try:
            return cls(
                token=str(values["token"]),
                index_sequence=int(values["index_sequence"]),
                writers=tuple(str(writer) for writer in values["writers"]),
                sources=tuple(SourceHead.from_dict(one) for one in values["sources"]),
            )
        except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
            raise InvalidRequestError(f"snapshot of live tables is not valid: {error!r}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRequest:
    """Which columns of a pinned source."""

    token: str
    source: str
    table: Table
    columns: tuple[str, ...]
    chunk: Chunk | None
    """None: of the whole table."""

    def encode(self) -> bytes:
        """Write it."""
        values = {
            "format_version": FORMAT_VERSION,
            "token": self.token,
            "source": self.source,
            "table": self.table.value,
            "columns": list(self.columns),
            "chunk": None if self.chunk is None else list(asdict(self.chunk).values()),
        }
        return json.dumps(values, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, content: bytes) -> ReadRequest:
        """Read it. Raises: InvalidRequestError."""
        values = _parse(content)
        try:
            chunk = values["chunk"]
            return cls(
                token=str(values["token"]),
                source=str(values["source"]),
                table=Table(values["table"]),
                columns=tuple(str(name) for name in values["columns"]),
                chunk=None if chunk is None else _chunk(chunk),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidRequestError(f"read of live tables is not valid: {error!r}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class FindRequest:
    """Which traces of a pinned source."""

    token: str
    source: str
    trace_ids: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Write it."""
        values = {
            "format_version": FORMAT_VERSION,
            "token": self.token,
            "source": self.source,
            "trace_ids": [trace_id.hex() for trace_id in self.trace_ids],
        }
        return json.dumps(values, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, content: bytes) -> FindRequest:
        """Read it. Raises: InvalidRequestError."""
        values = _parse(content)
        try:
            return cls(
                token=str(values["token"]),
                source=str(values["source"]),
                trace_ids=tuple(bytes.fromhex(text) for text in values["trace_ids"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidRequestError(f"search of live tables is not valid: {error!r}") from error


def encode_arrays(arrays: Sequence[pa.Array]) -> pa.Buffer:
    """Write columns of equal length; their names do not matter."""
    names = [str(number) for number in range(len(arrays))]
    batch = pa.RecordBatch.from_arrays(list(arrays), names=names)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def decode_arrays(content: bytes) -> list[pa.Array]:
    """Read what ``encode_arrays`` wrote. Raises: InvalidRequestError."""
    try:
        with pa.ipc.open_stream(content) as reader:
            return list(reader.read_next_batch().columns)
    except (pa.ArrowException, OSError, StopIteration) as error:
        raise InvalidRequestError(f"columns of live tables are not valid: {error}") from error


def encode_tables(found: Sequence[SpanTables]) -> bytes:
    """Write traces that were cut out: six tables for each part, one behind another."""
    parts = [len(found).to_bytes(4, "little")]
    for tables in found:
        for table in Table:
            sink = pa.BufferOutputStream()
            content = tables.table(table)
            with pa.ipc.new_stream(sink, content.schema) as writer:
                writer.write_table(content)
            buffer = sink.getvalue()
            parts += [buffer.size.to_bytes(8, "little"), buffer.to_pybytes()]
    return b"".join(parts)


def decode_tables(content: bytes) -> list[SpanTables]:
    """Read what ``encode_tables`` wrote. Raises: InvalidRequestError."""
    view, place = memoryview(content), 4
    found = []
    try:
        for _ in range(int.from_bytes(view[:4], "little")):
            tables = {}
            for table in Table:
                size = int.from_bytes(view[place : place + 8], "little")
                place += 8
                with pa.ipc.open_stream(pa.py_buffer(view[place : place + size])) as reader:
                    tables[table.value] = reader.read_all()
                place += size
            found.append(SpanTables(**tables))
    except (pa.ArrowException, OSError) as error:
        raise InvalidRequestError(f"traces of live tables are not valid: {error}") from error
    return found


def _chunk(values: Sequence[Any]) -> Chunk:
    index, first_span, spans, first_trace, traces = (int(value) for value in values)
    return Chunk(
        index=index, first_span=first_span, spans=spans, first_trace=first_trace, traces=traces
    )


def _parse(content: bytes) -> dict[str, Any]:
    try:
        values = json.loads(content)
    except ValueError as error:
        raise InvalidRequestError(f"message of a process is not JSON: {error}") from error
    version = values.get("format_version") if isinstance(values, dict) else None
    if version != FORMAT_VERSION:
        raise InvalidRequestError(
            f"message of a process has version {version!r}, this one speaks {FORMAT_VERSION}"
        )
    assert isinstance(values, dict)
    return values
