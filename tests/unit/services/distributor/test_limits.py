import logging
from dataclasses import replace

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.clocks import ManualClock
from support.otlp import request, span

from tracestore.errors import LimitExceededError, TooLargeError
from tracestore.kernel import TRUNCATED, check
from tracestore.model.ids import TenantId
from tracestore.services.distributor.limits import Discards, IngestLimits
from tracestore.services.tenant_labels import OVERFLOW, TenantLabels
from tracestore.settings.limits import GlobalLimits, IngestionLimits, TenantLimits
from tracestore.settings.tree import DistributorSettings
from tracestore.telemetry import Metrics

A, B = TenantId("a"), TenantId("b")


class Setup:
    def __init__(self, ingestion: IngestionLimits | None = None, trace_bytes: int = 0) -> None:
        self.limits = TenantLimits(
            ingestion=ingestion or IngestionLimits(),
            global_=GlobalLimits(max_bytes_per_trace=trace_bytes),
        )
        self.clock = ManualClock()
        self.metrics = Metrics(version="0")
        labels = TenantLabels(2)
        settings = DistributorSettings(trace_idle_s=5, trace_memory_s=60)
        discards = Discards(self.metrics, labels, self.clock, log_interval_s=60)
        self.ingest = IngestLimits(
            settings, lambda _: self.limits, discards, self.metrics, labels, self.clock
        )

    def admit(self, size: int, tenant: TenantId = A) -> str:
        """Send a request of some size. Returns what is said against it."""
        try:
            self.ingest.admit(tenant, bytes(size), 10)
        except LimitExceededError as error:
            return str(error)
        return ""

    def limit(self, *spans: object) -> list[int]:
        """Send spans. Returns the IDs of those that are stored."""
        sent = request(spans=spans)  # type: ignore[arg-type]
        kept, checked = self.ingest.limit(A, sent, check(sent))
        assert checked == check(kept)
        groups = ExportTraceServiceRequest.FromString(bytes(kept)).resource_spans
        return [s.span_id[-1] for g in groups for scope in g.scope_spans for s in scope.spans]

    def discarded(self, reason: str, tenant: str = "a") -> float:
        return self.metrics.value("tempo_discarded_spans_total", reason=reason, tenant=tenant)


def test_the_bucket_begins_full_and_fills_at_the_rate() -> None:
    setup = Setup(IngestionLimits(rate_limit_bytes=100, burst_size_bytes=300))

    assert setup.admit(300) == ""
    assert setup.admit(1) == (
        "RATE_LIMITED: ingestion rate limit (local: 100 bytes/s, global: 0 bytes/s, burst: 300 "
        "bytes) exceeded while adding 1 bytes for user a. consider increasing the limit or "
        "reducing ingestion rate."
    )
    setup.clock.advance(1)
    assert setup.admit(101) != ""
    assert setup.admit(100) == ""
    setup.clock.advance(100)
    assert setup.admit(300) == ""
    assert setup.admit(300, B) == ""
    assert setup.discarded("rate_limited") == 20


def test_a_request_beyond_rate_and_burst_is_told_to_be_smaller() -> None:
    setup = Setup(IngestionLimits(rate_limit_bytes=100, burst_size_bytes=300))

    assert setup.admit(301) == (
        "RATE_LIMITED: batch size (301 bytes) exceeds ingestion limit (local: 100 bytes/s, global: "
        "0 bytes/s, burst: 300 bytes) while adding 301 bytes for user a. consider reducing batch "
        "size or increasing rate limit."
    )
    assert setup.admit(300) == ""


def test_zero_refuses_all_and_nothing_said_nothing() -> None:
    assert "RATE_LIMITED" in Setup(IngestionLimits(rate_limit_bytes=0, burst_size_bytes=0)).admit(1)
    assert Setup().admit(1 << 30) == ""


def test_a_new_rate_holds_at_once() -> None:
    setup = Setup(IngestionLimits(rate_limit_bytes=100, burst_size_bytes=100))
    setup.admit(100)
    setup.limits = TenantLimits()

    assert setup.admit(1000) == ""


@pytest.mark.parametrize(("enabled", "delay_s"), [(True, 5.0), (False, 0.0)])
def test_the_delay_can_be_left_out(enabled: bool, delay_s: float) -> None:
    limits = IngestionLimits(rate_limit_bytes=1, burst_size_bytes=1, retry_info_enabled=enabled)

    with pytest.raises(LimitExceededError) as caught:
        Setup(limits).ingest.admit(A, b"xx", 1)

    assert caught.value.retry_after_s == delay_s


def test_a_large_request_is_refused_for_good() -> None:
    setup = Setup(IngestionLimits(max_request_bytes=10))

    setup.ingest.admit(A, bytes(10), 1)
    with pytest.raises(TooLargeError, match="request of 11 bytes exceeds the limit of 10 bytes"):
        setup.ingest.admit(A, bytes(11), 3)
    assert setup.discarded("request_too_large") == 3


def test_spans_of_further_traces_are_left_out_until_others_are_idle() -> None:
    setup = Setup(IngestionLimits(max_traces_per_user=2))

    assert setup.limit(*(span(trace=t, id=t) for t in (1, 2, 3, 1, 3))) == [1, 2, 1]
    assert setup.limit(span(trace=3, id=3), span(trace=2, id=2)) == [2]
    assert setup.discarded("live_traces_exceeded") == 3
    setup.clock.advance(5)
    assert setup.limit(span(trace=3, id=3)) == [3]


def test_what_would_make_a_trace_too_large_is_left_out() -> None:
    one = span(trace=1, id=1, name="n" * 100)
    setup = Setup(trace_bytes=2 * one.ByteSize())

    assert setup.limit(one) == [1]
    assert setup.limit(one, one, span(trace=2, id=2)) == [2]
    assert setup.limit(one) == [1]
    assert setup.limit(one) == []
    assert setup.discarded("trace_too_large") == 3
    setup.clock.advance(61)
    assert setup.limit(one) == [1]


def test_long_attributes_are_cut_marked_and_counted_by_scope() -> None:
    setup = Setup(IngestionLimits(max_attribute_bytes=10))
    long = {"k": "v" * 11, "short": "v" * 10, "key that is long": 1}
    sent = request(resource={"k": "é" * 6}, spans=[span(trace=1, id=1, attributes=long)])

    kept, _ = setup.ingest.limit(A, sent, check(sent))

    (group,) = ExportTraceServiceRequest.FromString(bytes(kept)).resource_spans
    assert group.resource.attributes[0].value.string_value == "é" * 5
    attributes = {a.key: a.value for a in group.scope_spans[0].spans[0].attributes}
    assert attributes["k"].string_value == "v" * 10
    assert [v.string_value for v in attributes[TRUNCATED].array_value.values] == ["k", "key that i"]
    name = "tempo_distributor_attributes_truncated_total"
    assert setup.metrics.value(name, tenant="a", scope="resource") == 1
    assert setup.metrics.value(name, tenant="a", scope="span") == 2


def test_the_default_cuts_nothing() -> None:
    sent = request(resource={"k" * 3000: "v" * 100_000}, spans=[span(trace=1, id=1)])

    kept, _ = Setup().ingest.limit(A, sent, check(sent))

    assert kept is sent


def test_what_no_limit_touches_is_the_same_object() -> None:
    sent = request(resource={"k": "v" * 2000}, spans=[span(trace=1, id=1)])
    setup = Setup(IngestionLimits(max_traces_per_user=5), trace_bytes=1000)

    kept, _ = setup.ingest.limit(A, sent, check(sent))

    assert kept is sent


def test_the_log_tells_of_discards_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    setup = Setup(IngestionLimits(rate_limit_bytes=0, burst_size_bytes=0))

    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            setup.admit(1)
        setup.clock.advance(60)
        setup.admit(1)
        setup.admit(1, B)

    told = [(r.tenant, r.reason, r.spans) for r in caplog.records]  # type: ignore[attr-defined]
    assert told == [("a", "rate_limited", 10), ("a", "rate_limited", 30), ("b", "rate_limited", 10)]


def test_tenants_beyond_the_bound_share_a_name() -> None:
    setup = Setup(replace(IngestionLimits(), max_request_bytes=1))
    for name in ("a", "b", "c", "d"):
        with pytest.raises(TooLargeError):
            setup.ingest.admit(TenantId(name), b"xx", 1)

    assert setup.discarded("request_too_large", "b") == 1
    assert setup.discarded("request_too_large", OVERFLOW) == 2
