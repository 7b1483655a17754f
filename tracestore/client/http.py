"""A server as a backend: its HTTP API through the standard library.

Source: wire contract, sections 4, 7, 8 and 9; the statuses are those of ``api/errors.py``.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping

from tracestore.api.headers import MISSING_HEADER
from tracestore.client.backend import warn_of_missing
from tracestore.errors import (
    DeadlineError,
    InvalidRequestError,
    LimitExceededError,
    NotFoundError,
    TracestoreError,
    UnavailableError,
)
from tracestore.model.ids import TraceId

TIMEOUT_S = 120.0
"""Silence after which a server counts as gone; longer than it lets a query run."""
MESSAGE_BYTES_MAX = 4096
"""How much of a refusal is read."""
_NO_SERVICE = "service '"
"""How the one 404 begins that is an answer: the graph has no such node."""


class HttpBackend:
    """Asks one server. Thread-safe; a connection per request.

    Raises: InvalidRequestError if the URL is none.
    """

    def __init__(
        self, url: str, *, headers: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise InvalidRequestError(f"expected a URL such as http://localhost:3200, got {url!r}")
        self._url = url.rstrip("/")
        self._headers = {"Accept": "application/json", **(headers or {})}
        self._timeout_s = timeout_s

    @property
    def name(self) -> str:
        return self._url

    def search(self, parameters: Mapping[str, str]) -> bytes:
        return self._get(f"/api/search?{urllib.parse.urlencode(parameters)}")

    def metrics(self, parameters: Mapping[str, str]) -> bytes:
        return self._get(f"/api/metrics/query_range?{urllib.parse.urlencode(parameters)}")

    def service_graph(self, parameters: Mapping[str, str]) -> bytes:
        return self._get(f"/api/service-graph?{urllib.parse.urlencode(parameters)}")

    def trace(self, trace_id: TraceId) -> bytes:
        return self._get(f"/api/v2/traces/{trace_id.hex()}")

    def names(self, parameters: Mapping[str, str]) -> bytes:
        return self._get(f"/api/v2/search/tags?{urllib.parse.urlencode(parameters)}")

    def values(self, tag: str, parameters: Mapping[str, str]) -> bytes:
        path = f"/api/v2/search/tag/{urllib.parse.quote(tag, safe='')}/values"
        return self._get(f"{path}?{urllib.parse.urlencode(parameters)}")

    def _get(self, path: str) -> bytes:
        try:
            request = urllib.request.Request(self._url + path, headers=self._headers)
            with urllib.request.urlopen(request, timeout=self._timeout_s) as reply:
                body: bytes = reply.read()
                if missing := reply.headers.get(MISSING_HEADER):
                    warn_of_missing(self.name, missing.split(","))
                return body
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from error
        except urllib.error.URLError as error:
            raise self._silence(error.reason) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._silence(error) from error

    def _silence(self, reason: object) -> UnavailableError:
        said = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
        return UnavailableError(
            f"no server answers at {self._url}: {said or type(reason).__name__}"
        )

    def _refusal(self, error: urllib.error.HTTPError) -> TracestoreError:
        said = error.read(MESSAGE_BYTES_MAX).decode("utf-8", "replace").strip()
        message = f"{self._url} refuses ({error.code}): {said or error.reason}"
        match error.code:
            case 400 | 413 | 414 | 431:
                return InvalidRequestError(said or message)
            case 401 | 403:
                return InvalidRequestError(message)
            case 404 if said.startswith(_NO_SERVICE):
                return NotFoundError(said)
            case 404:
                return NotFoundError(f"{message}: no trace store answers there")
            case 422 | 429:
                return LimitExceededError(message, limit="server")
            case 504:
                return DeadlineError(message)
        return UnavailableError(message)
