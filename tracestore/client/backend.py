"""What a client asks, as a protocol: the parameters and bodies of the HTTP API, whoever answers.

Both backends give the JSON that a server gives, so that an answer does not depend on the way it
came by.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from tracestore.model.ids import TraceId

log = logging.getLogger(__name__)


class Backend(Protocol):
    """A server, or a data directory."""

    @property
    def name(self) -> str:
        """URL or path, for people."""

    def search(self, parameters: Mapping[str, str]) -> bytes:
        """Get the body of ``/api/search``.

        Raises: QueryError, InvalidRequestError and what else keeps it from an answer.
        """

    def metrics(self, parameters: Mapping[str, str]) -> bytes:
        """Get the body of ``/api/metrics/query_range``."""

    def service_graph(self, parameters: Mapping[str, str]) -> bytes:
        """Get the body of ``/api/service-graph``."""

    def trace(self, trace_id: TraceId) -> bytes:
        """Get the body of ``/api/v2/traces/{id}``; an empty trace if it is not there."""

    def names(self, parameters: Mapping[str, str]) -> bytes:
        """Get the body of ``/api/v2/search/tags``."""

    def values(self, tag: str, parameters: Mapping[str, str]) -> bytes:
        """Get the body of ``/api/v2/search/tag/{identifier}/values``."""


def warn_of_missing(name: str, blocks: Sequence[str]) -> None:
    """Say what a partial answer lacks, so that it never passes for complete."""
    log.warning(
        "%s could not read %d of its blocks: the answer lacks their spans (%s)",
        name,
        len(blocks),
        ", ".join(blocks),
    )
