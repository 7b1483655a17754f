"""``tracestore.open``: one object to ask, whether a server or a data directory answers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traceql.errors import QueryError
from tracestore.api.headers import TENANT_HEADER
from tracestore.client.backend import Backend
from tracestore.client.found import Found, read_found
from tracestore.client.graph import GraphRequest, read_graph
from tracestore.client.http import HttpBackend
from tracestore.client.measured import MeasuredSeries, MetricsRequest, read_measured
from tracestore.client.request import SearchRequest
from tracestore.client.tags import TagRequest, read_names, read_values, tag_text
from tracestore.client.trace import Trace, read_trace
from tracestore.client.window import Duration, Moment
from tracestore.clock import Clock, SystemClock
from tracestore.errors import InvalidRequestError, NotFoundError, UnavailableError
from tracestore.model.ids import parse_trace_id


class Store:
    """Answers searches and finds traces. Thread-safe."""

    def __init__(self, backend: Backend, *, clock: Clock | None = None) -> None:
        self._backend = backend
        self._clock: Clock = clock or SystemClock()

    def __repr__(self) -> str:
        return f"<tracestore {self._backend.name}>"

    @property
    def name(self) -> str:
        """URL or path."""
        return self._backend.name

    def search(
        self,
        query: str = "{}",
        *,
        last: Duration | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        limit: int | None = None,
        spans_per_trace: int = 0,
        sort: str | None = None,
        count: bool = False,
        explain: bool = False,
        cursor: str | None = None,
        partial: bool = False,
    ) -> Found:
        """Find traces with a matching span, newest first; no window: in all there is.

        Args:
            query: TraceQL.
            last, start, end: the window, for example ``last="1h"``.
            limit: traces; None: 20.
            spans_per_trace: matched spans of each trace; 0: as many as there are (a server has a
                limit, usually 100; ``spans_left_out`` of the answer counts the rest).
            sort: one of ``SORTS``.
            count: say how many traces match in all.
            explain: say what was read, and why.
            cursor: ``next_cursor`` of the answer before.
            partial: answer with what can be read where a block cannot; ``is_complete`` of the
                answer tells, and a warning names the blocks.

        Raises: QueryError (its ``explain()`` draws the place), InvalidRequestError,
            UnavailableError, DeadlineError.
        """
        request = SearchRequest(
            query=query,
            last=last,
            start=start,
            end=end,
            limit=limit,
            spans_per_trace=spans_per_trace,
            sort=sort,
            count=count,
            explain=explain,
            cursor=cursor,
            partial=partial,
        )
        try:
            return self.ask(request.with_service())
        except (QueryError, InvalidRequestError):
            # What cannot be selected from, or a mistake: then the message is about the own text.
            return self.ask(request)

    def ask(self, request: SearchRequest) -> Found:
        """Ask exactly what a request says.

        Raises: as ``search``; UnavailableError too if the server is another, such as Tempo, that
            does not know an option.
        """
        content = self._backend.search(request.parameters(now_ns=self._clock.now_ns()))
        found = read_found(content, source=self.name)
        for option, member in (("count", "total"), ("explain", "explain")):
            if getattr(request, option) and member not in found.body:
                raise UnavailableError(f"{self.name} does not know {option}")
        if not is_sorted(found, request.sort):
            raise UnavailableError(f"{self.name} does not know sort")
        return found

    def names(
        self,
        *,
        scope: str | None = None,
        query: str | None = None,
        last: Duration | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        limit: int | None = None,
    ) -> dict[str, list[str]]:
        """List the names of attributes and intrinsics by scope.

        Args:
            scope: one of ``SCOPES``; None: all.
            query: a filter; only names on spans that match it.
            last, start, end: the window.
            limit: names of a scope.

        Raises: as ``search``.
        """
        return self.ask_names(
            TagRequest(scope=scope, query=query, last=last, start=start, end=end, limit=limit)
        )

    def ask_names(self, request: TagRequest) -> dict[str, list[str]]:
        """Ask exactly what a request says."""
        content = self._backend.names(request.parameters(now_ns=self._clock.now_ns()))
        return read_names(content, source=self.name)

    def values(
        self,
        tag: str,
        *,
        query: str | None = None,
        last: Duration | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        limit: int | None = None,
    ) -> list[tuple[str, str]]:
        """List the values of an attribute or intrinsic: type and text, most frequent first.

        Args:
            tag: as in TraceQL, ``resource.service.name``; a name without scope may be anywhere.
            query: a filter; only values on spans that match it.
            last, start, end: the window.
            limit: values.

        Raises: as ``search``.
        """
        request = TagRequest(query=query, last=last, start=start, end=end, limit=limit)
        return self.ask_values(tag, request)

    def ask_values(self, tag: str, request: TagRequest) -> list[tuple[str, str]]:
        """Ask exactly what a request says."""
        parameters = request.parameters(now_ns=self._clock.now_ns())
        return read_values(self._backend.values(tag_text(tag), parameters), source=self.name)

    def metrics(
        self,
        query: str,
        *,
        last: Duration | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        step: str | None = None,
        exemplars: int | None = None,
    ) -> MeasuredSeries:
        """Compute the series of a metrics query.

        Args:
            query: TraceQL that ends with a function, such as ``{} | rate() by(name)``.
            last, start, end: the range; the last hour if none is given.
            step: seconds or a duration; if absent about 240 points.
            exemplars: how many there may be.

        Raises: as ``search``.
        """
        request = MetricsRequest(
            query=query, last=last, start=start, end=end, step=step, exemplars=exemplars
        )
        parameters = request.parameters(now_ns=self._clock.now_ns())
        return read_measured(self._backend.metrics(parameters), source=self.name)

    def service_graph(
        self,
        service: str | None = None,
        *,
        query: str | None = None,
        depth: int | None = None,
        last: Duration | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
    ) -> dict[str, Any]:
        """Tell which services call which: nodes, edges and cycles, as the API answers.

        Args:
            service: only what it has to do with; ``service`` of the answer says how far away.
            query: TraceQL: only requests of which one side matches.
            depth: calls between the service and the rest, at most.
            last, start, end: the range; the last hour if none is given.

        Raises: as ``search``; NotFoundError if the service has no span in the range.
        """
        return self.ask_graph(
            GraphRequest(query=query, service=service, depth=depth, last=last, start=start, end=end)
        )

    def ask_graph(self, request: GraphRequest) -> dict[str, Any]:
        """Ask exactly what a request says."""
        return read_graph(self._graph(request), source=self.name)

    def draw_graph(self, request: GraphRequest) -> str:
        """Get a drawing."""
        return self._graph(request).decode("utf-8", "replace")

    def _graph(self, request: GraphRequest) -> bytes:
        parameters = request.parameters(now_ns=self._clock.now_ns())
        return self._backend.service_graph(parameters)

    def trace(self, trace_id: str) -> Trace:
        """Get a whole trace.

        Args:
            trace_id: hex; leading zeros may be left out.

        Raises: InvalidRequestError if that is no ID, NotFoundError.
        """
        parsed = parse_trace_id(trace_id)
        content = self._backend.trace(parsed)
        trace = read_trace(content, parsed.hex(), source=self.name)
        if trace is None:
            raise NotFoundError(f"trace {trace_id} is not in {self.name}")
        return trace


def is_sorted(found: Found, sort: str | None) -> bool:
    """Tell whether an answer is in the order asked for, as far as it shows.

    A server that does not know an option leaves it aside without a word.
    """
    key, descending = (sort or "").lstrip("-"), (sort or "").startswith("-")
    match key:
        case "start":
            keys = [trace.start_ns for trace in found.traces]
        case "duration":
            keys = [trace.duration_ns for trace in found.traces]
        case _:
            return True
    return keys == sorted(keys, reverse=descending)


def open_store(
    target: str | os.PathLike[str],
    *,
    headers: Mapping[str, str] | None = None,
    tenant: str | None = None,
) -> Store:
    """Open a store by the URL of a server, the path of a directory, or ``s3://BUCKET/PREFIX``.

    Raises: InvalidRequestError if it is none; SettingsError if a bucket cannot be used.
    """
    text = os.fspath(target)
    if text.startswith(("http://", "https://")):
        named = {} if tenant is None else {TENANT_HEADER: tenant}
        return Store(HttpBackend(text, headers={**(headers or {}), **named}))
    if text.startswith("s3://"):
        from tracestore.client.bucket import BucketBackend

        return Store(BucketBackend(text, tenant=tenant))
    # The engine takes a second to import; who asks a server needs none of it.
    from tracestore.client.directory import DirectoryBackend

    return Store(DirectoryBackend(Path(text), tenant=tenant))
