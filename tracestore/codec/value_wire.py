"""Values of dataclasses as bytes for another process of the same version: msgpack, by msgspec.

Fields go by name. Arrays of numpy are kept as they are in memory, tables of Arrow
as IPC streams.
"""

from __future__ import annotations

from typing import Any, TypeVar, get_origin

import msgspec
import numpy as np
import pyarrow as pa

from tracestore.errors import InvalidRequestError

T = TypeVar("T")


def encode_value(value: object) -> bytes:
    """Write a value."""
    return msgspec.msgpack.encode(value, enc_hook=_plain)


def decode_value(content: bytes, type: type[T]) -> T:
    """Read what ``encode_value`` wrote. Raises: InvalidRequestError."""
    try:
        return msgspec.msgpack.decode(content, type=type, dec_hook=_rebuilt)
    except (msgspec.DecodeError, pa.ArrowException, ValueError, TypeError) as error:
        name = getattr(type, "__name__", str(type))
        message = f"message of a process is no {name}: {error}"
        raise InvalidRequestError(message) from error


def _plain(value: object) -> object:
    """Make something that msgpack has of something that it has not."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, np.ascontiguousarray(value).tobytes()
    if isinstance(value, np.integer | np.floating | np.bool_):
        return value.item()
    if isinstance(value, pa.Table):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema) as writer:
            writer.write_table(value)
        return sink.getvalue().to_pybytes()
    if isinstance(value, pa.Schema):
        return value.serialize().to_pybytes()
    raise NotImplementedError(f"{value.__class__} is not for other processes")


def _rebuilt(wanted: Any, value: Any) -> object:
    kind = get_origin(wanted) or wanted
    if kind is np.ndarray:
        dtype, content = value
        return np.frombuffer(content, dtype)
    if kind is pa.Table:
        with pa.ipc.open_stream(pa.py_buffer(value)) as reader:
            return reader.read_all()
    if kind is pa.Schema:
        return pa.ipc.read_schema(pa.py_buffer(value))
    raise NotImplementedError(f"{kind} is not from other processes")
