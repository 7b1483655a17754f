"""Series by Python: what is asked, and what is read out of an answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.clocks import ManualClock
from support.otlp import EPOCH_NS
from support.reference_dataset import requests
from support.wal import open_wal

from traceql import QueryError
from tracestore.client.directory import DirectoryBackend
from tracestore.client.measured import MetricsRequest, read_measured
from tracestore.client.store import Store
from tracestore.errors import InvalidRequestError, UnavailableError
from tracestore.model.ids import SINGLE_TENANT

T0 = EPOCH_NS // 10**9


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A directory with the reference data set in its log."""
    (tmp_path / "index").mkdir()
    log = open_wal(tmp_path / "wal" / SINGLE_TENANT)
    for payload in requests():
        log.append(payload).result()
    log.close()
    clock = ManualClock(EPOCH_NS + 180 * 10**9)
    return Store(DirectoryBackend(tmp_path, clock=clock), clock=clock)


def test_a_directory_measures_without_a_server(store: Store) -> None:
    found = store.metrics("{} | max_over_time(span.retries) by(status)", last="3m", step="60s")

    assert found.message == ""
    assert [one.labels for one in found] == [
        {"status": status} for status in ("error", "ok", "unset")
    ]
    error = next(iter(found))
    assert [(sample.time_ms - T0 * 1000, sample.value) for sample in error.samples] == [
        (60_000, 3.0),
        (120_000, 5.0),
    ]
    assert set(error.traces) <= {"aa", "b0" * 16, "d1" * 16}
    assert len(error.traces) >= 1
    assert found.rows()[0] == {"status": "error", "time_ms": T0 * 1000 + 60_000, "value": 3.0}


def test_mistakes_are_found_before_anything_is_asked(store: Store) -> None:
    with pytest.raises(InvalidRequestError, match="not a metrics query"):
        store.metrics("{}")
    with pytest.raises(QueryError):
        store.metrics("{} | rate(")
    request = MetricsRequest(query="{} | rate()", last="1h", step="5s", exemplars=3)
    assert request.parameters(now_ns=T0 * 10**9) == {
        "q": "{} | rate()",
        "start": str(T0 - 3600),
        "end": str(T0),
        "step": "5s",
        "exemplars": "3",
    }


@pytest.mark.parametrize(
    "content", [b"x", b"[]", b'{"series":[1]}', b'{"series":[{"labels":[1]}]}']
)
def test_what_is_no_answer_is_told(content: bytes) -> None:
    with pytest.raises(UnavailableError, match="a server answers with something else"):
        read_measured(content, source="a server")
