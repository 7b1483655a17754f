"""The routes of Prometheus' API that tell what there is: series, labels, metrics, versions.

Source: Prometheus, "HTTP API", "Querying metadata"; wire contract, section 14.9.
"""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from tracestore.api.app import Answer
from tracestore.api.prometheus_answers import success
from tracestore.api.prometheus_params import (
    check_label,
    parse_limit,
    parse_matches,
    parse_time_ms,
)
from tracestore.api.prometheus_request import Asked, check_reach
from tracestore.codec.prometheus_json import exemplars_data, to_json
from tracestore.errors import InvalidRequestError
from tracestore.query.promql.catalog import METRICS
from tracestore.query.promql.evaluate import SeriesPlan, plan_series
from tracestore.query.promql.exemplars import plan_exemplars
from tracestore.query.promql.parse import parse, parse_selector, pretty
from tracestore.query.promql.values import Vector
from tracestore.query.span_series import LabelSet
from tracestore.services.querier.prometheus import AnsweredPlan, meaning_of
from tracestore.version import package_version

PROMETHEUS_VERSION = "2.42.0"
"""Whose API this is: Grafana chooses by it what it asks for."""
V = TypeVar("V")


class Ask(Protocol):
    """Has a plan answered."""

    def __call__(
        self, asked: Asked, planned: AnsweredPlan[V], answer: Callable[[V], Answer]
    ) -> Awaitable[Answer]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataRoutes:
    """The handlers. Without ``start`` they look back as far as an instant selector does."""

    ask: Ask
    now_ms: Callable[[], int]

    @property
    def served(self) -> Mapping[str, Callable[[Asked], Awaitable[Answer]]]:
        """Handlers by path."""
        return {
            "series": self.series,
            "labels": self.labels,
            "label/{name}/values": self.values,
            "metadata": self.metadata,
            "query_exemplars": self.exemplars,
            "rules": _constant('{"groups":[]}'),
            "alerts": _constant('{"alerts":[]}'),
            "format_query": self.format_query,
            "status/buildinfo": self.buildinfo,
        }

    async def series(self, asked: Asked) -> Answer:
        """List the series that selectors are about."""
        texts = parse_matches(asked.form)
        if not texts:
            raise InvalidRequestError("no match[] parameter provided")
        limit = parse_limit(asked.form)
        planned = self._plan(asked, texts, None)
        return await self.ask(asked, planned, lambda value: _list(map(dict, _labels(value)), limit))

    async def labels(self, asked: Asked) -> Answer:
        """List the names of labels."""
        limit = parse_limit(asked.form)
        planned = self._plan(asked, parse_matches(asked.form), None)
        return await self.ask(
            asked,
            planned,
            lambda value: _list(sorted({name for one in _labels(value) for name, _ in one}), limit),
        )

    async def values(self, asked: Asked) -> Answer:
        """List the values of a label."""
        name = asked.request.path_params["name"]
        check_label(name)
        limit = parse_limit(asked.form)
        planned = self._plan(asked, parse_matches(asked.form), frozenset({name}))
        return await self.ask(
            asked,
            planned,
            lambda value: _list(
                sorted({text for one in _labels(value) for key, text in one if key == name}),
                limit,
            ),
        )

    async def metadata(self, asked: Asked) -> Answer:
        """Tell the types of metrics; whether there are such series is not looked at."""
        wanted, limit = asked.form.get("metric"), parse_limit(asked.form)
        found = {
            one.base: [{"type": one.type, "help": one.help, "unit": ""}]
            for one in METRICS
            if wanted in ("", one.base)
        }
        kept = list(found)[:limit] if limit else list(found)
        return success(to_json({name: found[name] for name in kept}))

    async def exemplars(self, asked: Asked) -> Answer:
        """List the slowest trace of each histogram of a query in each part of the range."""
        form = asked.form
        start_ms, end_ms = (parse_time_ms(form, name) for name in ("start", "end"))
        if end_ms < start_ms:
            raise InvalidRequestError("end timestamp must not be before start timestamp")
        check_reach(end_ms - start_ms, asked.settings)
        planned = plan_exemplars(parse(form.get("query")), start_ms, end_ms)
        return await self.ask(asked, planned, lambda found: success(exemplars_data(found)))

    async def format_query(self, asked: Asked) -> Answer:
        """Write a query over lines."""
        return success(to_json(pretty(asked.form.get("query"))))

    async def buildinfo(self, asked: Asked) -> Answer:
        """Name the version of the API."""
        body = {
            "version": PROMETHEUS_VERSION,
            "revision": f"tracestore {package_version()}",
            "branch": "",
            "buildUser": "",
            "buildDate": "",
            "goVersion": "",
            "pythonVersion": platform.python_version(),
        }
        return success(to_json(body))

    def _plan(self, asked: Asked, texts: Sequence[str], by: frozenset[str] | None) -> SeriesPlan:
        """Plan to look for the series of selectors, of all if there is none."""
        form, meaning = asked.form, meaning_of(asked.settings)
        end_ms = parse_time_ms(form, "end", self.now_ms())
        start_ms = parse_time_ms(form, "start", end_ms - meaning.lookback_ms)
        if end_ms < start_ms:
            raise InvalidRequestError(
                'invalid parameter "end": end timestamp must not be before start time'
            )
        check_reach(end_ms - start_ms, asked.settings)
        selectors = []
        for text in texts:
            try:
                selectors.append(parse_selector(text))
            except InvalidRequestError as error:
                raise InvalidRequestError(f'invalid parameter "match[]": {error}') from error
        return plan_series(selectors, start_ms, end_ms, by, meaning)


def _constant(data: str) -> Callable[[Asked], Awaitable[Answer]]:
    async def answer(asked: Asked) -> Answer:
        return success(data)

    return answer


def _labels(value: Vector) -> list[LabelSet]:
    rows = np.flatnonzero(value.present[:, 0])
    return sorted(value.labels[row] for row in rows)


def _list(found: Iterable[object], limit: int) -> Answer:
    every = list(found)
    kept = every[:limit] if limit else every
    return success(to_json(kept), is_cut=len(kept) < len(every))
