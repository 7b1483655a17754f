"""Identifiers as typed values; hex only at the rim.

Trace and span IDs are raw ``bytes`` (16 and 8 long), block IDs are UUIDv7 texts, tenants are
checked texts. Source: OTLP; RFC 9562 section 5.7; the tenant rules of the wire contract.
"""

from __future__ import annotations

import random
import re
import uuid
from typing import NewType

from tracestore.errors import InvalidRequestError

TraceId = NewType("TraceId", bytes)
SpanId = NewType("SpanId", bytes)
BlockId = NewType("BlockId", str)
WriterId = NewType("WriterId", str)
"""One life of a process that writes a write-ahead log; UUIDv7."""
TenantId = NewType("TenantId", str)

SINGLE_TENANT = TenantId("single-tenant")
"""The owner of all data while multi-tenancy is off."""

TENANT_LENGTH_MAX = 150
_TENANT_BAD_CHARACTER = re.compile(r"[^A-Za-z0-9!\-_.*'()]")


def parse_trace_id(text: str) -> TraceId:
    """Read a trace ID from 1 to 32 hex digits; shorter ones are padded on the left.

    Raises: InvalidRequestError, with Tempo's own wording.
    """
    for position, character in enumerate(text, start=1):
        if character not in "0123456789abcdefABCDEF":
            raise InvalidRequestError(
                "trace IDs can only contain hex characters: "
                f"invalid character '{character}' at position {position}"
            )
    if len(text) > 32:
        raise InvalidRequestError("trace IDs can't be larger than 128 bits")
    return TraceId(bytes.fromhex(text.zfill(32)))


def format_trace_id(trace_id: bytes, *, pad: bool = False) -> str:
    """Write a trace ID as lower-case hex; without leading zeros unless ``pad``."""
    text = trace_id.hex()
    return text if pad else text.lstrip("0") or "0"


def parse_tenant_id(text: str) -> TenantId:
    """Check a tenant name. Raises: InvalidRequestError; such a name must never reach a path."""
    if len(text) > TENANT_LENGTH_MAX:
        raise InvalidRequestError(f"tenant ID is too long: max {TENANT_LENGTH_MAX} characters")
    if bad := _TENANT_BAD_CHARACTER.search(text):
        raise InvalidRequestError(
            f"tenant ID '{text}' contains unsupported character '{bad.group()}'"
        )
    if text in (".", "..", ""):
        raise InvalidRequestError("tenant ID is '.' or '..'" if text else "no org id")
    return TenantId(text)


def new_block_id(now_ns: int, rng: random.Random) -> BlockId:
    """Make a UUIDv7: 48 bits of unix milliseconds, then chance; so block IDs sort by birth."""
    value = (now_ns // 1_000_000 & (1 << 48) - 1) << 80 | rng.getrandbits(80)
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0b11 << 62) | 0b10 << 62
    return BlockId(str(uuid.UUID(int=value)))
