"""Text for scrapers, read back with the parsers of prometheus-client."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_text
from support.collections import TEXTS, counters

from tracestore.codec.exposition.text import TextWriter, accepts_open_metrics
from tracestore.model.collection import Collection, Exemplars, Family, MetricType
from tracestore.model.ids import SINGLE_TENANT

LES = ("0.002", "16.384", "+Inf")


def latency(services: list[str], counts: list[list[int]], *, generation: int = 0) -> Collection:
    """A histogram and a counter for each service; numbers go by service, not by family."""
    labels, families, values = {}, {}, []
    histogram = Family(name="latency", type=MetricType.HISTOGRAM, help='It is "time"\n\\.')
    counter = Family(name="calls_total", type=MetricType.COUNTER, help="Calls.")
    for service, numbers in zip(services, counts, strict=True):
        rising = np.cumsum(numbers).tolist()
        rows = [("calls_total", {}, rising[-1], counter)]
        rows += [
            ("latency_bucket", {"le": le}, count, histogram)
            for le, count in zip(LES, rising, strict=True)
        ]
        rows += [("latency_sum", {}, 0.1 * rising[-1], histogram)]
        rows += [("latency_count", {}, rising[-1], histogram)]
        for name, more, value, family in rows:
            all_labels = {"service": service, "__name__": name} | more
            labels[len(values)] = tuple(sorted(all_labels.items()))
            families[len(values)] = family
            values.append(float(value))
    count = len(values)
    return Collection(
        tenant=SINGLE_TENANT, time_ms=1_700_000_000_123, series=np.arange(count),
        values=np.array(values), times_ms=np.full(count, 1_700_000_000_123),
        labels=labels, families=families, generation=generation,
        exemplars=Exemplars(
            series=np.array([2]), values=np.array([0.25]),
            times_ms=np.array([1_700_000_000_123]), label="traceID", trace_ids=["abc"],
        ),
    )  # fmt: skip


def samples(families) -> dict[object, float]:  # type: ignore[no-untyped-def]
    found = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }
    assert found
    return found


def expected(collection: Collection) -> dict[object, float]:
    return {
        (dict(labels)["__name__"], frozenset((k, v) for k, v in labels if k != "__name__")): float(
            collection.values[n]
        )
        for n, labels in collection.labels.items()
    }


@given(st.lists(TEXTS, min_size=1, max_size=3, unique=True), st.data())
def test_both_forms_say_what_was_collected(services: list[str], data: st.DataObject) -> None:
    row = st.lists(st.integers(0, 10**9), min_size=3, max_size=3)
    counts = data.draw(st.lists(row, min_size=len(services), max_size=len(services)))
    collection = latency(services, counts)
    writer = TextWriter()

    plain = writer.write(collection, open_metrics=False).decode()
    assert samples(parse_text(plain)) == expected(collection)
    text = writer.write(collection, open_metrics=True).decode()
    families = list(parse_open(text))
    assert samples(families) == expected(collection)
    assert [(f.name, f.type) for f in families] == [("calls", "counter"), ("latency", "histogram")]
    exemplars = [s.exemplar for f in families for s in f.samples if s.exemplar]
    assert [(e.labels, e.value, float(e.timestamp)) for e in exemplars] == [
        ({"traceID": "abc"}, 0.25, 1700000000.123)
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (0.1, "0.1"), (1e300, "1e+300"), (math.inf, "+Inf"), (-math.inf, "-Inf"),
     (math.nan, "NaN"), (123456789.0, "123456789"), (5e-324, "5e-324")],
)  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    line = TextWriter().write(counters(1, [value]), open_metrics=False).decode().splitlines()[-1]
    assert float(line.split()[1]) == pytest.approx(float(text), nan_ok=True, rel=0)
    assert line.split()[1].lower().removesuffix(".0") in (text.lower(), f"{value:.0f}")


def test_only_the_newest_sample_of_a_series_is_shown() -> None:
    one = counters(1, [5.0])
    both = dataclasses.replace(
        one, series=np.array([0, 0]), values=np.array([0.0, 5.0]), times_ms=np.array([0, 1])
    )
    assert b'calls_total{n="0"} 5' in TextWriter().write(both, open_metrics=False)


def test_a_new_registry_has_other_labels_for_the_same_numbers() -> None:
    writer = TextWriter()
    writer.write(latency(["a"], [[1, 2, 3]]), open_metrics=False)
    text = writer.write(latency(["b"], [[1, 2, 3]], generation=1), open_metrics=False).decode()
    assert 'service="b"' in text
    assert 'service="a"' not in text


def test_nothing_is_an_empty_text() -> None:
    nothing = counters(1, [])
    assert TextWriter().write(nothing, open_metrics=False) == b""
    assert TextWriter().write(nothing, open_metrics=True) == b"# EOF\n"


@pytest.mark.parametrize(
    ("accept", "is_open"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5", True),
        ("application/openmetrics-text;q=0.3,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0,*/*;q=0.1", False),
        ("application/openmetrics-text;version=2.0.0", False),
        ("application/openmetrics-text;q=x", False),
    ],
)
def test_the_form_that_is_asked_for(accept: str, is_open: bool) -> None:
    assert accepts_open_metrics(accept) is is_open
