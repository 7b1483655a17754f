"""Remote write to a real HTTP receiver: versions, failures, order, restarts, bounds, headers."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from support.collections import counters
from support.disks import FaultyDisk
from support.remote_writers import make_writer, remote, running, until
from support.server import free_ports
from support.write_receiver import Receiver, running_receiver

from tracestore.services.generator.remote_write import writer as writer_module
from tracestore.services.generator.remote_write.writer import RemoteWriter
from tracestore.telemetry import Metrics

SERIES = "__name__=calls_total,n=0"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def write(path: Path, rounds: list[list[float]], *remotes, start_ms: int | None = None, **more):  # type: ignore[no-untyped-def]
    """Queue a collection for each round, a second apart, and drain."""
    start_ms = now_ms() - 60_000 if start_ms is None else start_ms

    async def run() -> None:
        tenant = more.pop("tenant", "single-tenant")
        async with running(make_writer(path, *remotes, **more)) as writer:
            for i, values in enumerate(rounds):
                await writer.offer(counters(start_ms + 1000 * i, values, tenant=tenant))
            if "flush_deadline_s" not in more:
                await until(lambda: all_sent(writer))

    asyncio.run(run())
    return [start_ms + 1000 * i for i in range(len(rounds))]


def all_sent(writer: RemoteWriter) -> bool:
    return all(
        sender.idle.is_set() and not sender.wake.is_set()
        for senders in writer._senders.values()
        for sender in senders
    )


def total(metrics: Metrics, name: str, receiver: Receiver, **labels: str) -> float:
    return metrics.value(
        f"prometheus_remote_storage_{name}",
        tenant="single-tenant",
        remote_name=remote(receiver.url).name,
        url=receiver.url,
        **labels,
    )


@pytest.mark.parametrize(
    ("receiver", "config", "versions"),
    [
        (Receiver(), {}, [2, 2, 2]),
        (Receiver(is_old=True), {}, [2, 1, 1, 1]),
        (Receiver(versions=(1,)), {}, [2, 1, 1, 1]),
        (Receiver(answers=[(400, {})], versions=(1,)), {}, [2, 1, 1, 1]),
        (Receiver(), {"protobuf_message": "prometheus.WriteRequest"}, [1, 1, 1]),
    ],
    ids=["2.0", "old: says 204", "old: says 415", "old: says 400", "told: 1.0"],
)
def test_the_version_that_the_receiver_takes_is_spoken(
    tmp_path, receiver, config, versions
) -> None:  # type: ignore[no-untyped-def]
    metrics = Metrics(version="")
    config = config | {"metadata_config": {"send": False}}
    with running_receiver(receiver):
        times = write(
            tmp_path, [[1.0], [2.0], [3.0]], remote(receiver.url, **config), metrics=metrics
        )

        assert receiver.samples == {SERIES: list(zip(times, [1.0, 2.0, 3.0], strict=True))}
        assert [version for version, _, _ in receiver.requests] == versions
        assert total(metrics, "samples_total", receiver) == 3
        assert total(metrics, "samples_failed_total", receiver) == 0
        assert total(metrics, "samples_in_total", receiver) == 3
        assert total(metrics, "samples_pending", receiver) == 0
        assert total(metrics, "queue_highest_sent_timestamp_seconds", receiver) == times[-1] / 1000
    assert not list(tmp_path.glob("*/*/*.segment"))


def test_a_receiver_that_was_replaced_is_asked_for_2_again(tmp_path: Path) -> None:
    receiver = Receiver(versions=(1,))
    with running_receiver(receiver):
        write(
            tmp_path, [[1.0], [2.0]], remote(receiver.url, metadata_config={"send": False}),
            protocol_retry_s=0.0,
        )  # fmt: skip
        assert [version for version, _, _ in receiver.requests] == [2, 1, 2, 1]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_what_fails_for_a_time_is_sent_again_in_order(tmp_path: Path, status: int) -> None:
    receiver = Receiver(answers=[(status, {})] * 4)
    metrics = Metrics(version="")
    with running_receiver(receiver):
        rounds = [[float(i), 2.0 * i, 3.0 * i] for i in range(10)]
        times = write(
            tmp_path, rounds, remote(receiver.url, queue_config={"max_samples_per_send": 2}),
            metrics=metrics,
        )  # fmt: skip
        for n in range(3):
            want = [(t, each[n]) for t, each in zip(times, rounds, strict=True)]
            assert receiver.samples[f"__name__=calls_total,n={n}"] == want
        assert total(metrics, "samples_retried_total", receiver) > 0
        assert total(metrics, "samples_failed_total", receiver) == 0


def test_retry_after_is_kept_to(tmp_path: Path) -> None:
    receiver = Receiver(answers=[(429, {"Retry-After": "1"})])
    with running_receiver(receiver):
        started = time.monotonic()
        write(tmp_path, [[1.0]], remote(receiver.url))
        assert time.monotonic() - started >= 1.0
        assert len(receiver.samples[SERIES]) == 1


def test_429_is_a_refusal_where_the_entry_says_so(tmp_path: Path) -> None:
    receiver = Receiver(answers=[(429, {})])
    metrics = Metrics(version="")
    with running_receiver(receiver):
        write(
            tmp_path, [[1.0]], remote(receiver.url, queue_config={"retry_on_http_429": False}),
            metrics=metrics,
        )  # fmt: skip
        assert not receiver.samples
        assert total(metrics, "samples_failed_total", receiver) == 1


def test_what_is_refused_is_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    receiver = Receiver(answers=[(404, {})])
    metrics = Metrics(version="")
    with running_receiver(receiver):
        times = write(tmp_path, [[1.0], [2.0]], remote(receiver.url), metrics=metrics)
        assert receiver.samples == {SERIES: [(times[1], 2.0)]}
        assert total(metrics, "samples_failed_total", receiver) == 1


def test_samples_that_a_2_receiver_did_not_write_are_counted(tmp_path: Path) -> None:
    written = {f"X-Prometheus-Remote-Write-{k}-Written": "0" for k in ("Samples", "Histograms")}
    receiver = Receiver(answers=[(204, written)])
    metrics = Metrics(version="")
    with running_receiver(receiver):
        write(tmp_path, [[1.0, 2.0]], remote(receiver.url), metrics=metrics)
        assert total(metrics, "samples_failed_total", receiver) == 2
        assert [version for version, _, _ in receiver.requests] == [2]


def test_what_could_not_be_sent_is_sent_by_the_next_process(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    entry = remote(f"http://127.0.0.1:{port}/write")
    first = write(tmp_path, [[1.0], [2.0]], entry, flush_deadline_s=0.1)
    receiver = Receiver(is_old=True)
    with running_receiver(receiver, port=port):
        second = write(tmp_path, [[5.0]], entry, start_ms=now_ms())
        times = [*first, *second]
        assert receiver.samples == {SERIES: list(zip(times, [1.0, 2.0, 5.0], strict=True))}
        assert receiver.metadata == {"calls_total": "Calls."}
    assert not list(tmp_path.glob("*/*/*.segment"))


def test_a_slow_receiver_does_not_hold_up_another(tmp_path: Path) -> None:
    (closed,) = free_ports(1)
    receiver = Receiver()
    with running_receiver(receiver):
        times = write(
            tmp_path, [[1.0], [2.0]],
            remote(receiver.url), remote(f"http://127.0.0.1:{closed}/write"),
            flush_deadline_s=0.3,
        )  # fmt: skip
        assert receiver.samples == {SERIES: list(zip(times, [1.0, 2.0], strict=True))}
    assert list(tmp_path.glob("*/*/*.segment"))


def test_a_queue_that_is_full_loses_its_oldest_and_says_so(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    metrics = Metrics(version="")
    receiver = Receiver()
    receiver.url = f"http://127.0.0.1:{port}/write"
    times = write(
        tmp_path, [[float(i)] for i in range(60)], remote(receiver.url), metrics=metrics,
        flush_deadline_s=0.1, bytes_max=60_000, segment_bytes=8_000,
    )  # fmt: skip
    dropped = total(metrics, "samples_dropped_total", receiver, reason="queue_overflow")
    pending = total(metrics, "samples_pending", receiver)
    assert dropped > 0
    assert dropped + pending == 60
    assert sum(p.stat().st_size for p in tmp_path.glob("*/*/*.segment")) <= 60_000
    with running_receiver(receiver, port=port):
        write(tmp_path, [], remote(receiver.url))
        sent = receiver.samples[SERIES]
        # The first was in the hand of the sender when its file went.
        assert [t for t, _ in sent] == times[-len(sent) :]
        assert len(sent) in (pending, pending - 1)


def test_samples_that_are_too_old_are_dropped(tmp_path: Path) -> None:
    receiver = Receiver()
    metrics = Metrics(version="")
    with running_receiver(receiver):
        write(
            tmp_path, [[1.0]], remote(receiver.url), metrics=metrics,
            start_ms=now_ms() - 100_000, age_max_s=50.0,
        )  # fmt: skip
        assert not receiver.samples
        assert total(metrics, "samples_dropped_total", receiver, reason="too_old") == 1


def test_age_limit_of_an_entry_is_for_samples(tmp_path: Path) -> None:
    receiver = Receiver()
    metrics = Metrics(version="")
    with running_receiver(receiver):
        write(
            tmp_path, [[1.0]],
            remote(receiver.url, queue_config={"sample_age_limit": "10s"}), metrics=metrics,
        )  # fmt: skip
        assert not receiver.samples
        assert total(metrics, "samples_dropped_total", receiver, reason="too_old") == 1


def test_tenants_are_named_and_kept_apart(tmp_path: Path) -> None:
    receiver = Receiver()
    with running_receiver(receiver):
        entry = remote(receiver.url, headers={"X-Env": "prod"}, basic_auth={"username": "u"})
        write(tmp_path, [[1.0]], entry, tenant="team-a", headers={"team-a": {"x-env": "dev"}})
        write(tmp_path, [[1.0]], entry)
        (_, _, first), (_, _, second) = receiver.requests
        assert first["x-scope-orgid"] == "team-a"
        assert first["x-env"] == "dev"
        assert first["user-agent"].startswith("tracestore/")
        assert first["authorization"] == "Basic dTo="
        assert first["content-encoding"] == "snappy"
        assert first["x-prometheus-remote-write-version"] == "2.0.0"
        assert "x-scope-orgid" not in second
        assert second["x-env"] == "prod"


@pytest.mark.parametrize(
    ("entry", "own", "want"),
    [
        ((), {}, {"X-Scope-OrgID": "t"}),
        ((("x-scope-orgid", "fixed"),), {}, {"x-scope-orgid": "fixed"}),
        ((("A", "1"),), {"a": "2", "B": "3"}, {"X-Scope-OrgID": "t", "a": "2", "B": "3"}),
    ],
)
def test_headers_of_a_tenant_win(entry, own, want) -> None:  # type: ignore[no-untyped-def]
    assert writer_module.tenant_headers(entry, own, "t") == want


def test_a_registry_that_begins_anew_means_other_series(tmp_path: Path) -> None:
    receiver = Receiver()

    async def run(at: int) -> None:
        async with running(make_writer(tmp_path, remote(receiver.url))) as writer:
            await writer.offer(counters(at, [1.0], name="a"))
            await writer.offer(counters(at + 1, [2.0], name="b", generation=1))

    with running_receiver(receiver):
        at = now_ms()
        asyncio.run(run(at))
        assert receiver.samples == {
            "__name__=a,n=0": [(at, 1.0)],
            "__name__=b,n=0": [(at + 1, 2.0)],
        }


def test_a_full_disk_drops_what_it_does_not_take_and_goes_on(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    disk = FaultyDisk()
    monkeypatch.setattr("tracestore.storage.metrics_queue.queue.Disk", lambda: disk)
    receiver = Receiver()
    metrics = Metrics(version="")

    async def run(at: int) -> None:
        async with running(make_writer(tmp_path, remote(receiver.url), metrics=metrics)) as writer:
            await writer.offer(counters(at, [1.0]))
            disk.capacity = 10
            await writer.offer(counters(at + 1, [2.0]))
            disk.capacity = None
            await writer.offer(counters(at + 2, [3.0]))

    with running_receiver(receiver):
        at = now_ms()
        asyncio.run(run(at))
        assert receiver.samples == {SERIES: [(at, 1.0), (at + 2, 3.0)]}
        assert total(metrics, "samples_dropped_total", receiver, reason="queue_unwritable") == 1


def test_series_that_come_and_go_do_not_stay_in_memory(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("tracestore.services.generator.remote_write.tenant._IDLE_MIN", 4)
    receiver = Receiver()

    async def run(at: int) -> None:
        async with running(make_writer(tmp_path, remote(receiver.url))) as writer:
            await writer.offer(counters(at, [1.0] * 50))
            await until(lambda: len(receiver.samples) == 50)
            for i in range(1, 4):
                await writer.offer(counters(at + i, [2.0]))
                await until(lambda i=i: len(receiver.samples[SERIES]) == i + 1)
            (queue,) = writer._tenants.values()
            assert [len(table) for table in queue._tables.values()] == [1]
            await writer.offer(counters(at + 9, [3.0] * 50))

    with running_receiver(receiver):
        asyncio.run(run(now_ms()))
        assert all(values[-1][1] == 3.0 for values in receiver.samples.values())
        assert len(receiver.samples) == 50
