"""``hash64`` against the xxhash package, over every layout of an Arrow array."""

import struct

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from tracestore.kernel.hashing import hash64

BINARY_TYPES = [pa.binary(), pa.large_binary()]
TEXT_TYPES = [pa.string(), pa.large_string()]


def expected(values: list[bytes | None]) -> list[int]:
    return [0 if value is None else xxhash.xxh64_intdigest(value) for value in values]


@pytest.mark.parametrize("length", [*range(70), 255, 1000])
def test_every_length_of_the_tail(length: int) -> None:
    value = bytes(range(256)) * 4
    array = pa.array([value[:length]], pa.binary())
    assert hash64(array).tolist() == expected([value[:length]])


@pytest.mark.parametrize("kind", BINARY_TYPES, ids=str)
@given(values=st.lists(st.none() | st.binary(max_size=100)), skipped=st.integers(0, 9))
def test_binary(kind: pa.DataType, values: list[bytes | None], skipped: int) -> None:
    array = pa.array(values, kind)[skipped:]
    assert hash64(array).tolist() == expected(values[skipped:])


@pytest.mark.parametrize("kind", TEXT_TYPES, ids=str)
@given(values=st.lists(st.none() | st.text()), skipped=st.integers(0, 9))
def test_text_is_hashed_as_utf8(kind: pa.DataType, values: list[str | None], skipped: int) -> None:
    array = pa.array(values, kind)[skipped:]
    encoded = [None if value is None else value.encode() for value in values[skipped:]]
    assert hash64(array).tolist() == expected(encoded)


@given(values=st.lists(st.none() | st.binary(min_size=16, max_size=16)), skipped=st.integers(0, 9))
def test_fixed_size_binary(values: list[bytes | None], skipped: int) -> None:
    array = pa.array(values, pa.binary(16))[skipped:]
    assert hash64(array).tolist() == expected(values[skipped:])


@given(values=st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)), skipped=st.integers(0, 9))
def test_integers(values: list[int | None], skipped: int) -> None:
    encoded = [None if value is None else struct.pack("<q", value) for value in values[skipped:]]
    assert hash64(pa.array(values, pa.int64())[skipped:]).tolist() == expected(encoded)


@given(values=st.lists(st.none() | st.floats(allow_nan=False)), skipped=st.integers(0, 9))
def test_floats(values: list[float | None], skipped: int) -> None:
    encoded = [None if value is None else struct.pack("<d", value) for value in values[skipped:]]
    assert hash64(pa.array(values, pa.float64())[skipped:]).tolist() == expected(encoded)


def test_type_without_a_hash_is_refused() -> None:
    with pytest.raises(TypeError, match="no hash of dictionary"):
        hash64(pa.array(["a"]).dictionary_encode())


def test_offsets_outside_the_data_are_refused() -> None:
    offsets = pa.py_buffer(np.array([0, 9, 2], np.int32))
    broken = pa.Array.from_buffers(pa.binary(), 2, [None, offsets, pa.py_buffer(b"ab")])
    with pytest.raises(ValueError, match="outside its buffer at row 0"):
        hash64(broken)
