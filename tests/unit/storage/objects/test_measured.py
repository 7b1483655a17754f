import pytest
from support.contracts import ObjectStoreContract

from tracestore.clock import SystemClock
from tracestore.errors import ConflictError, NotFoundError
from tracestore.storage.objects.measured import MeasuredObjectStore
from tracestore.storage.objects.memory import MemoryObjectStore


class Requests:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, int, int]] = []

    def request(
        self, operation: str, outcome: str, seconds: float, sent_bytes: int, received_bytes: int
    ) -> None:
        assert seconds >= 0
        self.seen.append((operation, outcome, sent_bytes, received_bytes))


class TestMeasuredObjectStore(ObjectStoreContract):
    @pytest.fixture
    def store(self) -> MeasuredObjectStore:
        return MeasuredObjectStore(MemoryObjectStore(), Requests(), SystemClock())


def test_each_request_is_reported_with_its_outcome_and_bytes() -> None:
    requests = Requests()
    store = MeasuredObjectStore(MemoryObjectStore(), requests, SystemClock())
    store.put("k", b"12345")
    store.get("k")
    store.get_range("k", 1, 2)
    with pytest.raises(NotFoundError):
        store.get("missing")
    with pytest.raises(ConflictError):
        store.put_if_absent("k", b"1")
    list(store.list(""))
    store.delete("k")

    assert requests.seen == [
        ("put", "ok", 5, 0),
        ("get", "ok", 0, 5),
        ("get_range", "ok", 0, 2),
        ("get", "not_found", 0, 0),
        ("put_if_absent", "conflict", 1, 0),
        ("list", "ok", 0, 0),
        ("delete", "ok", 0, 0),
    ]
