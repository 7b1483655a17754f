"""Answers of autocomplete as items that packets are made of.

Source: wire contract, sections 12.2 and 13.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tracestore.codec.wire import encode_bytes, encode_text
from tracestore.model.tags import TagScope, TagValue


def encode_flat(texts: Iterable[str]) -> Iterator[bytes]:
    """Write the field ``tagNames`` or ``tagValues`` of the first version."""
    return (encode_bytes(1, text.encode()) for text in texts)


def encode_scopes(
    scopes: Iterable[tuple[TagScope, Iterable[str]]], bytes_max: int
) -> Iterator[bytes]:
    """Write the field ``scopes``. One that would be too long comes in several parts.

    Args:
        bytes_max: names in a part, of which there is one at least.
    """
    for scope, names in scopes:
        head, part, size = encode_text(1, scope), bytearray(), 0
        for name in names:
            encoded = encode_bytes(2, name.encode())
            if size and size + len(encoded) > bytes_max:
                yield encode_bytes(1, head + part)
                part, size = bytearray(), 0
            part += encoded
            size += len(encoded)
        if size:
            yield encode_bytes(1, head + part)


def encode_values(values: Iterable[TagValue]) -> Iterator[bytes]:
    """Write the field ``tagValues`` of the second version."""
    return (encode_bytes(1, encode_text(1, kind) + encode_text(2, text)) for kind, text in values)
