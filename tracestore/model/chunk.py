"""Rows of a source that are read together; no trace is in two."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Whole traces, by their rows in the whole tables."""

    index: int
    first_span: int
    spans: int
    first_trace: int
    traces: int
