import pytest
from support.contracts import ObjectStoreContract

from tracestore.storage.objects.memory import MemoryObjectStore


class TestMemoryObjectStore(ObjectStoreContract):
    @pytest.fixture
    def store(self) -> MemoryObjectStore:
        return MemoryObjectStore()

    def test_there_is_no_file(self, store: MemoryObjectStore) -> None:
        store.put("k", b"")
        assert store.local_path("k") is None
