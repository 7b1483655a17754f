"""Cuts an answer that is too long for one message into several.

Source: wire contract, section 12.2.
"""

from __future__ import annotations

from collections.abc import Iterable


def cut_packets(
    items: Iterable[bytes], tail: bytes, bytes_max: int, *, last: bytes = b""
) -> list[bytes]:
    """Put items into messages.

    Args:
        items: encoded fields, in order.
        tail: fields that are repeated in each message.
        bytes_max: largest message, where each has one item at least.
        last: fields of the last message alone.

    Returns: messages, at least one.
    """
    packets: list[bytes] = []
    parts: list[bytes] = []
    size = len(tail)
    for item in items:
        if parts and size + len(item) > bytes_max:
            packets.append(b"".join((*parts, tail)))
            parts, size = [], len(tail)
        parts.append(item)
        size += len(item)
    if len(parts) > 1 and size + len(last) > bytes_max:
        packets.append(b"".join((*parts[:-1], tail)))
        parts = parts[-1:]
    packets.append(b"".join((*parts, tail, last)))
    return packets
