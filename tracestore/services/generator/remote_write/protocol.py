"""What a reply of a receiver means, and which version of remote write it is spoken to in.

Remote write 2.0 is tried first. An old receiver may say that it does not take it (415, 400), or may
read the message as an empty one of 1.0 and answer 204: then the headers that count what was written
are not there, and the same samples are sent again in 1.0. Nothing here does I/O.

Source: Prometheus, "Remote-Write 2.0", "Required Written Response Headers" and "Retries & Backoff".
"""

from __future__ import annotations

import email.utils
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from enum import Enum
from typing import Final

from tracestore.codec.remote_write.outgoing import Counts
from tracestore.services.generator.remote_write.client import Reply

RETRY_AFTER_MAX_S: Final = 600.0
"""A longer Retry-After is cut: nobody should be able to stop a queue for ever."""
_WRITTEN: Final = "x-prometheus-remote-write-{}-written"
_HEADERS: Final[Mapping[int, Mapping[str, str]]] = {
    1: {
        "Content-Type": "application/x-protobuf",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    },
    2: {
        "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        "X-Prometheus-Remote-Write-Version": "2.0.0",
    },
}


def protocol_headers(version: int, user_agent: str) -> dict[str, str]:
    """Get the headers of a request, those of its tenant apart."""
    return {"Content-Encoding": "snappy", "User-Agent": user_agent, **_HEADERS[version]}


class Outcome(Enum):
    """What became of a request."""

    WRITTEN = "written"
    RETRY = "retry"
    """Not taken, but may be later."""
    REFUSED = "refused"
    """Never will be."""
    OTHER_VERSION = "other version"
    """To be sent again in 1.0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The meaning of a reply."""

    outcome: Outcome
    retry_after_s: float = 0.0
    written: Counts | None = None
    """What the receiver says that it wrote; None: it does not say."""


def judge(reply: Reply, version: int, *, now_s: float, retry_on_429: bool) -> Verdict:
    """Tell what a reply means for a request of a version."""
    status = reply.status
    written = _written(reply) if version == 2 else None
    if 200 <= status < 300:
        if version == 2 and written is None:
            return Verdict(outcome=Outcome.OTHER_VERSION)
        return Verdict(outcome=Outcome.WRITTEN, written=written)
    if status >= 500 or (status == 429 and retry_on_429):
        return Verdict(outcome=Outcome.RETRY, retry_after_s=_retry_after(reply, now_s))
    if version == 2 and (status == 415 or (status == 400 and written is None)):
        return Verdict(outcome=Outcome.OTHER_VERSION)
    return Verdict(outcome=Outcome.REFUSED, written=written)


def _written(reply: Reply) -> Counts | None:
    found = {
        kind: _count(reply.headers.get(_WRITTEN.format(kind)))
        for kind in ("samples", "histograms", "exemplars")
    }
    if all(count is None for count in found.values()):
        return None
    return Counts(**{kind: count or 0 for kind, count in found.items()})


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.strip().isdecimal() else None


def _retry_after(reply: Reply, now_s: float) -> float:
    text = reply.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return min(float(text), RETRY_AFTER_MAX_S)
    try:
        when = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return 0.0
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return min(max(0.0, when.timestamp() - now_s), RETRY_AFTER_MAX_S)


class Protocol:
    """The version that a receiver takes, as far as it is known. Thread-safe.

    A receiver that took 1.0 in place of 2.0 is asked for 2.0 again after a while: it may have been
    replaced by a newer one.
    """

    def __init__(self, *, only_v1: bool, retry_s: float) -> None:
        self._only_v1 = only_v1
        self._retry_ns = int(retry_s * 1e9)
        self._lock = threading.Lock()
        self._v1_since_ns: int | None = None

    def version(self, now_ns: int) -> int:
        """Choose the version of a request."""
        if self._only_v1:
            return 1
        with self._lock:
            since = self._v1_since_ns
            return 2 if since is None or now_ns - since >= self._retry_ns else 1

    def took_v1(self, now_ns: int) -> bool:
        """Note that 1.0 was taken where 2.0 was not. Returns: whether that is news."""
        with self._lock:
            is_news = self._v1_since_ns is None
            self._v1_since_ns = now_ns
            return is_news

    def took_v2(self) -> None:
        """Note that 2.0 was taken."""
        with self._lock:
            self._v1_since_ns = None
