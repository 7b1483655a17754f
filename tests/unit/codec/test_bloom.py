import numpy as np
import pytest

from tracestore.codec.bloom import BLOCK_BYTES, build_bloom, probe_bloom


def hashes(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


@pytest.mark.parametrize("count", [0, 1, 25, 26, 10_000])
def test_what_was_added_is_found(count: int) -> None:
    added = hashes(count, seed=1)

    assert probe_bloom(build_bloom(added, 10), added).all()


def test_ten_bits_a_value_give_about_one_percent_of_false_hits() -> None:
    content = build_bloom(hashes(20_000, seed=1), 10)

    assert len(content) == pytest.approx(20_000 * 10 / 8, abs=BLOCK_BYTES)
    assert probe_bloom(content, hashes(20_000, seed=2)).mean() < 0.015


def test_an_empty_filter_holds_nothing() -> None:
    assert not probe_bloom(build_bloom(hashes(0, seed=1), 10), hashes(1000, seed=2)).any()


def test_the_bits_are_those_of_parquet() -> None:
    """By hand from BloomFilter.md: hash 2**32 - 1 sets bit (salt * low) >> 27 of each word."""
    low = 0xFFFF_FFFF
    salts = (0x47B6137B, 0x44974D91, 0x8824AD5B, 0xA2B7289D, 0x705495C7, 0x2DF1424B, 0x9EFC4947)
    words = [1 << ((salt * low & 0xFFFF_FFFF) >> 27) for salt in (*salts, 0x5C6BFB31)]

    content = build_bloom(np.array([low], np.uint64), 10)

    assert content == b"".join(word.to_bytes(4, "little") for word in words)
