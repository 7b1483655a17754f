"""Which encoding a query route answers in. Source: wire contract, sections 3.1 and 3.4."""

from __future__ import annotations

from enum import StrEnum

from fastapi import Request


class Encoding(StrEnum):
    """What ``Accept`` names, in the order in which it is looked for."""

    PROTOBUF = "application/protobuf"
    JSON = "application/json"
    LLM = "application/vnd.grafana.llm"
    """JSON for language models; routes without such a form answer JSON as usual."""

    @property
    def media_type(self) -> str:
        """The type of a body."""
        return f"{self}+json" if self is Encoding.LLM else str(self)


def negotiate(request: Request) -> Encoding:
    """Look for known types in ``Accept`` in a fixed order; quality values do not count."""
    accept = ", ".join(request.headers.getlist("accept"))
    return next((encoding for encoding in Encoding if encoding in accept), Encoding.JSON)
