"""What the real S3 server's answers become when the network between is bad."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.s3 import Requests, S3Place, s3, s3_server  # noqa: F401 - fixtures
from support.s3_proxy import Fault, S3Proxy, running_proxy

from tracestore.errors import ConflictError, NotFoundError, UnavailableError
from tracestore.storage.objects.s3 import S3ObjectStore

LOST = [Fault.LOST_ANSWER, Fault.INTERNAL]
AGAIN = [Fault.RESET, Fault.SLOW_DOWN, Fault.INTERNAL, Fault.LOST_ANSWER]


@pytest.fixture
def proxy(s3: S3Place) -> Iterator[S3Proxy]:  # noqa: F811 - the fixture
    with running_proxy(s3.settings.endpoint) as running:
        yield running


@pytest.fixture
def requests() -> Requests:
    return Requests()


@pytest.fixture
def direct(s3: S3Place) -> S3ObjectStore:  # noqa: F811 - the fixture
    return s3.store()


@pytest.fixture
def store(s3: S3Place, proxy: S3Proxy, requests: Requests) -> S3ObjectStore:  # noqa: F811 - the fixture
    place = replace(s3, settings=replace(s3.settings, endpoint=proxy.endpoint))
    opened = place.store(requests, retry_min_s=0.001, retry_max_s=0.01, attempts_max=4)
    requests.seen.clear()
    proxy.seen.clear()
    return opened


@pytest.mark.parametrize("fault", LOST)
def test_a_creation_whose_answer_was_lost_is_recognised(
    store: S3ObjectStore, proxy: S3Proxy, direct: S3ObjectStore, fault: Fault
) -> None:
    proxy.next_of("PUT", fault)
    etag = store.put_if_absent("k", b"mine")

    assert direct.get_with_etag("k") == (b"mine", etag)
    assert [seen.method for seen in proxy.seen] == ["PUT", "PUT", "HEAD"]


@pytest.mark.parametrize("fault", LOST)
def test_a_replacement_whose_answer_was_lost_is_recognised(
    store: S3ObjectStore, proxy: S3Proxy, direct: S3ObjectStore, fault: Fault
) -> None:
    first = direct.put("k", b"one")
    proxy.next_of("PUT", fault)
    etag = store.put_if_match("k", b"two", first)

    assert direct.get_with_etag("k") == (b"two", etag)


@pytest.mark.parametrize("fault", AGAIN)
def test_what_another_wrote_stays_a_conflict_after_any_fault(
    store: S3ObjectStore, proxy: S3Proxy, direct: S3ObjectStore, fault: Fault
) -> None:
    direct.put("k", b"mine")
    proxy.next_of("PUT", fault)
    with pytest.raises(ConflictError):
        store.put_if_absent("k", b"mine")
    proxy.next_of("PUT", fault)
    with pytest.raises(ConflictError):
        store.put_if_match("k", b"mine", "0" * 32)


def test_a_conflict_of_requests_at_the_same_time_is_asked_again(
    store: S3ObjectStore, proxy: S3Proxy, direct: S3ObjectStore
) -> None:
    proxy.next_of("PUT", Fault.CONFLICT, Fault.CONFLICT)
    store.put_if_absent("k", b"mine")

    assert direct.get("k") == b"mine"


@pytest.mark.parametrize("fault", [*AGAIN, Fault.CUT])
@pytest.mark.parametrize(
    "read",
    [
        lambda store: store.get("k"),
        lambda store: store.get_range("k", 0, 100_000),
        lambda store: store.get_with_etag("k")[0],
    ],
)
def test_a_read_is_made_again_until_it_is_whole(
    store: S3ObjectStore,
    proxy: S3Proxy,
    direct: S3ObjectStore,
    fault: Fault,
    read: Callable[[S3ObjectStore], bytes],
) -> None:
    direct.put("k", b"0123456789" * 10_000)
    proxy.next_of("GET", fault, fault)

    assert read(store) == b"0123456789" * 10_000
    assert len(proxy.seen) == 3


def test_attempts_are_bounded_counted_and_told(
    store: S3ObjectStore, proxy: S3Proxy, requests: Requests
) -> None:
    proxy.decide = lambda _: Fault.SLOW_DOWN
    with pytest.raises(UnavailableError, match=r"503 SlowDown.*after 4 attempts"):
        store.get("k")

    assert len(proxy.seen) == 4, "the library must not retry by itself"
    assert [seen[:2] for seen in requests.seen] == [("get", "slow_down")] * 4


def test_what_is_not_there_is_asked_once(store: S3ObjectStore, proxy: S3Proxy) -> None:
    with pytest.raises(NotFoundError):
        store.get("nothing")
    assert len(proxy.seen) == 1


@pytest.mark.parametrize("fault", AGAIN)
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_an_upload_in_parts_survives_faults_of_each_step(
    store: S3ObjectStore,
    proxy: S3Proxy,
    direct: S3ObjectStore,
    tmp_path: Path,
    fault: Fault,
    method: str,
) -> None:
    content = bytes(range(256)) * 4096 * 6
    source = tmp_path / "source"
    source.write_bytes(content)
    proxy.next_of(method, fault, Fault.NONE, fault)
    smaller = S3ObjectStore(
        store._client, replace(store._settings, part_bytes=5 << 20), store._attempts
    )
    etag = smaller.put_file("file", str(source))

    assert direct.get_with_etag("file") == (content, etag)


def test_an_upload_in_parts_whose_last_answer_was_lost_is_recognised(
    store: S3ObjectStore, proxy: S3Proxy, direct: S3ObjectStore
) -> None:
    content = b"x" * (6 << 20)
    smaller = S3ObjectStore(
        store._client, replace(store._settings, part_bytes=5 << 20), store._attempts
    )
    proxy.next_of("POST", Fault.NONE, Fault.LOST_ANSWER)
    etag = smaller.put_if_absent("large", content)

    assert direct.get_with_etag("large") == (content, etag)


def test_every_attempt_is_measured_with_its_bytes(
    store: S3ObjectStore, proxy: S3Proxy, requests: Requests
) -> None:
    proxy.next_of("PUT", Fault.RESET)
    store.put("k", b"12345")
    store.get_range("k", 1, 3)

    assert requests.seen == [
        ("put", "error", 5, 0),
        ("put", "ok", 5, 0),
        ("get_range", "ok", 0, 3),
    ]
