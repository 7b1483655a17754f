"""What every implementation of a protocol promises: a test class per protocol, to be subclassed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from tracestore.errors import ConflictError, InvalidRequestError, NotFoundError
from tracestore.storage.objects.interface import ObjectStore

BAD_KEYS = [
    "",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    "a/..",
    "a\\b",
    "a\0b",
    "a\nb",
    "a/" + "x" * 201,
    "x/" * 600 + "x",
    "@tracestore/locks/00",
    "\ud800",
]


class ObjectStoreContract:
    """Subclass with a fixture ``store``: an empty ObjectStore."""

    races = 10
    """Rounds in which many create the same object."""

    def test_an_object_is_read_back_as_put(self, store: ObjectStore) -> None:
        etag = store.put("a/b.json", b"content")

        assert store.get("a/b.json") == b"content"
        assert store.get_with_etag("a/b.json") == (b"content", etag)
        info = store.head("a/b.json")
        assert (info.key, info.bytes, info.etag) == ("a/b.json", 7, etag)
        assert info.modified_ns > 0

    def test_a_memoryview_and_an_empty_object_are_content_too(self, store: ObjectStore) -> None:
        store.put("part", memoryview(b"xabcx")[1:4])
        store.put("empty", b"")

        assert store.get("part") == b"abc"
        assert store.get("empty") == b""
        assert store.head("empty").bytes == 0

    def test_what_is_not_there_is_not_found(self, store: ObjectStore) -> None:
        store.put("a/b", b"x")

        for key in ("nothing", "a", "a/b/c", "a/bb"):
            with pytest.raises(NotFoundError, match=key):
                store.get(key)
            with pytest.raises(NotFoundError):
                store.get_range(key, 0, 1)
            with pytest.raises(NotFoundError):
                store.get_with_etag(key)
            with pytest.raises(NotFoundError):
                store.head(key)

    def test_put_replaces_and_the_etag_changes_with_the_content(self, store: ObjectStore) -> None:
        first = store.put("k", b"one")
        second = store.put("k", b"two")

        assert first != second
        assert store.get("k") == b"two"
        assert store.head("k").etag == second

    def test_put_if_absent_leaves_an_existing_object_alone(self, store: ObjectStore) -> None:
        store.put_if_absent("k", b"first")

        with pytest.raises(ConflictError, match="k"):
            store.put_if_absent("k", b"second")
        assert store.get("k") == b"first"

    def test_one_of_many_creators_wins(self, store: ObjectStore) -> None:
        for round_number in range(self.races):
            key = f"race/{round_number}"
            barrier = Barrier(8)

            def create(number: int, key: str = key, barrier: Barrier = barrier) -> bool:
                barrier.wait()
                try:
                    store.put_if_absent(key, b"%d" % number)
                except ConflictError:
                    return False
                return True

            with ThreadPoolExecutor(8) as pool:
                won = list(pool.map(create, range(8)))
            assert won.count(True) == 1
            assert store.get(key) == b"%d" % won.index(True)

    def test_put_if_match_replaces_only_what_it_expects(self, store: ObjectStore) -> None:
        first = store.put("k", b"one")
        second = store.put_if_match("k", b"two", first)

        with pytest.raises(ConflictError, match="k"):
            store.put_if_match("k", b"three", first)
        assert store.get_with_etag("k") == (b"two", second)
        with pytest.raises(ConflictError):
            store.put_if_match("missing", b"x", first)
        with pytest.raises(NotFoundError):
            store.get("missing")

    def test_increments_by_put_if_match_lose_nothing(self, store: ObjectStore) -> None:
        store.put("counter", b"0")

        def add(_: int) -> None:
            for _ in range(10):
                while True:
                    value, etag = store.get_with_etag("counter")
                    try:
                        store.put_if_match("counter", b"%d" % (int(value) + 1), etag)
                    except ConflictError:
                        continue
                    break

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add, range(4)))
        assert store.get("counter") == b"40"

    def test_put_file_takes_the_content_of_a_file(self, store: ObjectStore, tmp_path: Path) -> None:
        source = tmp_path / "source.bin"
        for content in (b"first", b"second"):
            source.write_bytes(content)
            etag = store.put_file("t/file", str(source))
            assert store.get_with_etag("t/file") == (content, etag)

    def test_ranges_end_with_the_object(self, store: ObjectStore) -> None:
        store.put("k", b"0123456789")

        assert store.get_range("k", 0, 10) == b"0123456789"
        assert store.get_range("k", 3, 4) == b"3456"
        assert store.get_range("k", 8, 100) == b"89"
        assert store.get_range("k", 10, 5) == b""
        assert store.get_range("k", 99, 5) == b""
        assert store.get_range("k", 4, 0) == b""

    def test_several_ranges_are_read_at_once(self, store: ObjectStore) -> None:
        content = bytes(range(256)) * 4096
        store.put("k", content)
        ranges = [
            (700_000, 10),
            (5, 3),
            (0, 20),
            (5, 3),
            (9, 0),
            (len(content) - 2, 9),
            (10, 300_000),
        ]

        expected = [content[offset : offset + length] for offset, length in ranges]
        assert store.get_ranges("k", ranges) == expected
        assert store.get_ranges("k", []) == []
        with pytest.raises(NotFoundError):
            store.get_ranges("nothing", [(0, 1), (9_000_000, 1)])

    def test_a_listing_is_in_byte_order_and_starts_after(self, store: ObjectStore) -> None:
        keys = ["a-b", "a.b", "a/b", "a/b.c", "a/c/d", "a/c-d", "a0", "B", "b/é", "b/z", "ab/c"]
        for key in reversed(keys):
            store.put(key, key.encode())
        ordered = sorted(keys, key=str.encode)

        assert [info.key for info in store.list("")] == ordered
        for prefix in ("a", "a/", "a/c", "a/c/", "b/", "x", "a/b.c"):
            expected = [key for key in ordered if key.startswith(prefix)]
            assert [info.key for info in store.list(prefix)] == expected
        for after in [*keys, "", "a", "a/", "a/c/", "zz", "a/c/zz"]:
            expected = [key for key in ordered if key.encode() > after.encode()]
            assert [info.key for info in store.list("", after=after)] == expected
            inside = [key for key in expected if key.startswith("a/")]
            assert [info.key for info in store.list("a/", after=after)] == inside

    def test_a_listing_says_what_head_says(self, store: ObjectStore) -> None:
        store.put("x/1", b"one")
        store.put("x/2", b"second")

        assert list(store.list("x/")) == [store.head("x/1"), store.head("x/2")]

    def test_a_listing_survives_changes_meanwhile(self, store: ObjectStore) -> None:
        for number in range(6):
            store.put(f"k{number}", b"")
        seen = []
        for info in store.list("k"):
            seen.append(info.key)
            store.delete("k3")

        assert [key for key in seen if key != "k3"] == ["k0", "k1", "k2", "k4", "k5"]

    def test_delete_is_final_and_repeatable(self, store: ObjectStore) -> None:
        store.put("d/x/1", b"x")
        store.delete("d/x/1")
        store.delete("d/x/1")

        with pytest.raises(NotFoundError):
            store.get("d/x/1")
        assert list(store.list("d")) == []
        store.put_if_absent("d/x/1", b"again")
        assert store.get("d/x/1") == b"again"

    def test_many_are_deleted_at_once(self, store: ObjectStore) -> None:
        keys = [f"many/{number}" for number in range(5)]
        for key in keys:
            store.put(key, b"x")
        store.delete_many([*keys[1:], "many/nothing"])
        store.delete_many([])

        assert [info.key for info in store.list("many/")] == keys[:1]
        with pytest.raises(InvalidRequestError):
            store.delete_many(["many/0", "../x"])
        assert store.get("many/0") == b"x"

    def test_a_large_object_is_whole(self, store: ObjectStore) -> None:
        content = bytes(range(256)) * 4096 * 9
        etag = store.put("large", content)

        assert store.get_with_etag("large") == (content, etag)
        assert store.head("large").etag == etag
        assert store.get_range("large", len(content) - 3, 9) == content[-3:]
        changed = store.put_if_match("large", content[1:] + b"x", etag)
        assert changed != etag
        with pytest.raises(ConflictError):
            store.put_if_match("large", b"", etag)

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_keys_that_are_no_plain_paths_are_refused(self, store: ObjectStore, key: str) -> None:
        with pytest.raises(InvalidRequestError, match="object key"):
            store.put(key, b"x")
        with pytest.raises(InvalidRequestError):
            store.put_if_absent(key, b"x")
        with pytest.raises(InvalidRequestError):
            store.get(key)
        with pytest.raises(InvalidRequestError):
            store.delete(key)
        with pytest.raises(InvalidRequestError):
            store.local_path(key)

    def test_listing_prefixes_outside_are_refused(self, store: ObjectStore) -> None:
        for prefix in ("/", "../", "a/../", "a//b"):
            with pytest.raises(InvalidRequestError, match="prefix"):
                list(store.list(prefix))
