"""Which encoding a query route answers in. Source: wire contract, section 3.1."""

from __future__ import annotations

from enum import StrEnum

from fastapi import Request


class Encoding(StrEnum):
    """A body's media type."""

    PROTOBUF = "application/protobuf"
    JSON = "application/json"


def negotiate(request: Request) -> Encoding:
    """Look for known types in ``Accept`` in a fixed order; quality values do not count."""
    accept = ", ".join(request.headers.getlist("accept"))
    return Encoding.PROTOBUF if Encoding.PROTOBUF in accept else Encoding.JSON
