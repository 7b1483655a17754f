from concurrent.futures import ThreadPoolExecutor

from tracestore.storage.block.cache import BlockCache


def test_what_was_not_used_for_longest_goes_first() -> None:
    cache = BlockCache(30)
    for key in "abc":
        cache.put(key, key.upper(), 10)
    cache.get("a")

    cache.put("d", "D", 10)

    assert [cache.get(key) for key in "abcd"] == ["A", None, "C", "D"]
    assert cache.bytes == 30


def test_what_is_larger_than_the_cache_is_not_kept_and_evicts_nothing() -> None:
    cache = BlockCache(10)
    cache.put("a", 1, 10)

    cache.put("b", 2, 11)

    assert (cache.get("a"), cache.get("b"), cache.bytes) == (1, None, 10)


def test_a_key_put_twice_is_counted_once() -> None:
    cache = BlockCache(10)
    cache.put("a", 1, 6)
    cache.put("a", 2, 8)

    assert (cache.get("a"), cache.bytes) == (2, 8)


def test_threads_leave_the_bound_intact() -> None:
    cache = BlockCache(1000)

    def use(seed: int) -> None:
        for n in range(2000):
            cache.put((seed * n) % 97, n, n % 50)
            cache.get(n % 97)
            assert cache.bytes <= 1000

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(1, 5)))
