"""An object store that keeps what it is asked."""

from __future__ import annotations

from tracestore.storage.objects.memory import MemoryObjectStore


class CountingStore(MemoryObjectStore):
    """Keeps the operation and the key of each request to the index, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []

    def take_asked(self) -> list[tuple[str, str]]:
        """Get what was asked since the last call."""
        asked, self.asked = self.asked, []
        return asked

    def put(self, key: str, content: bytes | memoryview) -> str:
        self.asked.append(("put", key))
        return super().put(key, content)

    def put_if_absent(self, key: str, content: bytes | memoryview) -> str:
        self.asked.append(("put_if_absent", key))
        return super().put_if_absent(key, content)

    def put_if_match(self, key: str, content: bytes | memoryview, etag: str) -> str:
        self.asked.append(("put_if_match", key))
        return super().put_if_match(key, content, etag)

    def get(self, key: str) -> bytes:
        self.asked.append(("get", key))
        return super().get(key)

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        self.asked.append(("get", key))
        return super().get_with_etag(key)
