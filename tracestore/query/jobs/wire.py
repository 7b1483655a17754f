"""Questions and parts of answers as bytes: MessagePack, with a version and a name in front.

Numbers keep their type and every bit. What is read is checked against its type.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from tracestore.errors import CorruptionError, InvalidRequestError

VERSION = 1
T = TypeVar("T")
_Envelope = tuple[int, str, msgspec.Raw]


def write(name: str, value: object) -> bytes:
    """Write a value. Raises: InvalidRequestError for what has no place in it."""
    try:
        return msgspec.msgpack.encode((VERSION, name, value))
    except (UnicodeEncodeError, OverflowError) as error:
        raise InvalidRequestError(f"the query cannot be handed on: {error}") from error


def open_envelope(data: bytes) -> tuple[str, msgspec.Raw]:
    """Read what bytes are, and the value unread. Raises: CorruptionError."""
    try:
        version, name, value = msgspec.msgpack.decode(data, type=_Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptionError(f"not what another process writes: {error}", key="wire") from error
    if version != VERSION:
        message = f"version {version} is written by a process of another release, {VERSION} is read"
        raise CorruptionError(message, key=f"wire, {name!r}")
    return name, value


def read_value(name: str, value: msgspec.Raw, kind: type[T]) -> T:
    """Read a value of a type. Raises: CorruptionError."""
    try:
        return msgspec.msgpack.decode(value, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise CorruptionError(f"no {name} that can be read: {error}", key="wire") from error


def read(data: bytes, name: str, kind: type[T]) -> T:
    """Read a value of a name and type. Raises: CorruptionError."""
    found, value = open_envelope(data)
    if found != name:
        raise CorruptionError(f"a {found!r} where a {name!r} was expected", key="wire")
    return read_value(name, value, kind)
