"""Metrics while their query runs: settled points from newest to oldest, each once."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

from support.otlp import EPOCH_NS
from support.streaming import GatedSource, streaming_api
from support.tempopb import message, method

STEP_S = 10
TIMEOUT_S = 30.0
SECONDS = (1, 2, 31, 32, 61)
"""Starts of the spans, in three sources that lie 30 s apart."""
QUERY = "{} | count_over_time() by (name)"


def sources() -> list[GatedSource]:
    parts = [[s for s in SECONDS if s // 30 == part] for part in range(3)]
    made = [
        GatedSource(f"s{part}", {s: 1000 * s for s in seconds}, attributes={"x": 1})
        for part, seconds in enumerate(parts)
    ]
    made[2].gate.set()
    return made


def ask(api: Any, name: str, query: str) -> Any:
    fields = {"query": query, "start": EPOCH_NS, "end": EPOCH_NS + 70 * 10**9}
    if name == "Range":
        fields["step"] = STEP_S * 10**9
    asked = message(f"Query{name}Request")(**fields)
    return aiter(method(api.channel("api"), f"MetricsQuery{name}")(asked, timeout=TIMEOUT_S))


async def collect(name: str, query: str) -> list[Any]:
    """Let a query go on from source to source, each time that it has shown something."""
    held = sources()
    async with streaming_api(held) as api:
        call = ask(api, name, query)
        seen = []
        for source in (held[1], held[0]):
            seen.append(await anext(call))
            source.gate.set()
        return seen + [answer async for answer in call]


def samples(answer: Any) -> list[tuple[str, int, float]]:
    return [
        (series.labels[0].value.string_value, sample.timestamp_ms, sample.value)
        for series in answer.series
        for sample in series.samples
    ]


def test_points_are_shown_once_settled_from_newest_to_oldest() -> None:
    *partial, last = asyncio.run(collect("Range", QUERY))

    whole = set(samples(last))
    shown = [sample for answer in partial for sample in samples(answer)]
    assert shown
    assert set(shown) <= whole
    assert len(set(shown)) == len(shown)
    edges = [{time for _, time, _ in samples(answer)} for answer in partial if answer.series]
    for newer, older in pairwise(edges):
        assert max(older) < min(newer)
    first_ms = (EPOCH_NS // 10**9 + 32) * 1000
    assert min(edges[0]) > first_ms  # the source before it ends there
    counted = {name: value for name, _, value in whole if value}
    assert counted == {f"span {s}": 1.0 for s in SECONDS}
    assert all(answer.HasField("metrics") for answer in (*partial, last))
    jobs = [answer.metrics.completedJobs for answer in (*partial, last)]
    assert jobs == sorted(jobs)
    assert jobs[-1] == last.metrics.totalJobs == 3


def test_what_may_change_until_the_end_is_not_shown_before() -> None:
    async def check() -> list[Any]:
        held = sources()
        for source in held:
            source.gate.set()
        async with streaming_api(held) as api:
            query = "{} | compare({ name = `span 1` })"
            return [answer async for answer in ask(api, "Range", query)]

    *partial, last = asyncio.run(check())

    assert partial
    assert [len(answer.series) for answer in partial] == [0] * len(partial)
    assert all(answer.metrics.totalJobs == 3 for answer in partial)
    assert last.series


def test_an_instant_shows_running_values() -> None:
    *partial, last = asyncio.run(collect("Instant", "{} | count_over_time()"))

    values = [answer.series[0].value for answer in (*partial, last)]
    assert values[0] == 1
    assert values[-1] == 5
    assert values == sorted(values)
