"""Split-block Bloom filters over 64-bit hashes: "certainly not there", or "perhaps".

The layout is the one of Parquet's own Bloom filters, so other readers know it: blocks of eight
little-endian 32-bit words; the upper half of a hash chooses the block, the lower half one bit in
each word. Both directions are vectorised.

Source: Parquet format, BloomFilter.md; Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient
Bloom Filters".
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

BLOCK_BYTES = 32
_BLOCK_BITS = 8 * BLOCK_BYTES
_SALT = np.array(
    [
        0x47B6137B,
        0x44974D91,
        0x8824AD5B,
        0xA2B7289D,
        0x705495C7,
        0x2DF1424B,
        0x9EFC4947,
        0x5C6BFB31,
    ],
    np.uint32,
)

Hashes = npt.NDArray[np.uint64]


def build_bloom(hashes: Hashes, bits_per_value: int) -> bytes:
    """Make a filter that holds all of ``hashes``.

    Args:
        hashes: (N,) best distinct and ascending: then the writes go through memory in order.
        bits_per_value: 10 give about 1 % false hits.

    Returns: a multiple of 32 bytes, at least 32.
    Cost: O(N); 8 B of memory a bit while it is built.
    """
    blocks = max(1, -(-len(hashes) * bits_per_value // _BLOCK_BITS))
    bits = np.zeros(blocks * _BLOCK_BITS, np.bool_)
    first_bit = (_block_of(hashes, blocks) * np.uint64(_BLOCK_BITS)).astype(np.int64)
    low = hashes.astype(np.uint32)
    for word, salt in enumerate(_SALT):
        bit = (low * salt) >> np.uint32(27)
        bits[first_bit + (bit.astype(np.int64) + 32 * word)] = True
    return np.packbits(bits, bitorder="little").tobytes()


def probe_bloom(content: bytes | pa.Buffer, hashes: Hashes) -> npt.NDArray[np.bool_]:
    """Tell of each hash whether it may be in the filter.

    Args:
        content: what ``build_bloom`` returned.
        hashes: (N,)

    Returns: (N,) False is certain.
    """
    words = np.frombuffer(content, "<u4").reshape(-1, 8)
    found = words[_block_of(hashes, len(words)).astype(np.int64)]
    masks = np.uint32(1) << ((hashes.astype(np.uint32)[:, None] * _SALT) >> np.uint32(27))
    answer: npt.NDArray[np.bool_] = ((found & masks) == masks).all(axis=1)
    return answer


def _block_of(hashes: Hashes, blocks: int) -> Hashes:
    assert blocks < 1 << 32
    return (hashes >> np.uint64(32)) * np.uint64(blocks) >> np.uint64(32)
