"""A segment cut at every byte, and changed at every byte: nothing else is lost, nothing fails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracestore.codec.wal_record import (
    SEGMENT_HEADER,
    WalCodec,
    WalDamage,
    WalRecord,
    decode_segment,
    encode_record,
    encode_segment_header,
    segment_seed,
)

SEGMENT = "018bcfe5-6800-7000-8000-000000000001"
PAYLOADS = [b"", b"first", b"\0" * 700, b"service.name " * 40, b"last one"]


def build(payloads: list[bytes], codec: WalCodec) -> tuple[bytes, list[int]]:
    """Return a segment, and the offset at which each record ends."""
    content = encode_segment_header()
    ends = []
    for payload in payloads:
        record = encode_record(payload, tenant="shop", received_ns=7, codec=codec)
        content += b"".join(record.seal(segment_seed(SEGMENT)))
        ends.append(len(content))
    return content, ends


def read(content: bytes) -> tuple[list[bytes], list[WalDamage]]:
    items = list(decode_segment(content, SEGMENT))
    records = [item.payload for item in items if isinstance(item, WalRecord)]
    return records, [item for item in items if isinstance(item, WalDamage)]


@pytest.mark.parametrize("codec", list(WalCodec))
def test_wherever_a_segment_is_cut_the_records_before_are_read(codec: WalCodec) -> None:
    content, ends = build(PAYLOADS, codec)
    for size in range(len(content)):
        records, damages = read(content[:size])
        whole = sum(end <= size for end in ends)

        assert records == PAYLOADS[:whole]
        boundary = size in (*ends, SEGMENT_HEADER.size)
        assert [damage.torn for damage in damages] == ([] if boundary else [True])


@pytest.mark.parametrize("codec", list(WalCodec))
@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_whichever_byte_is_changed_only_its_record_is_lost(codec: WalCodec, mask: int) -> None:
    content, ends = build(PAYLOADS, codec)
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= mask
        records, damages = read(bytes(changed))
        hit = None if at < SEGMENT_HEADER.size else sum(end <= at for end in ends)

        assert records == [payload for n, payload in enumerate(PAYLOADS) if n != hit]
        assert len(damages) == 1
        assert damages[0].offset <= at < damages[0].end


@given(
    payloads=st.lists(st.binary(max_size=60), min_size=1, max_size=6),
    start=st.integers(0, 400),
    noise=st.binary(min_size=1, max_size=80),
)
def test_noise_over_any_range_costs_only_what_it_covers(
    payloads: list[bytes], start: int, noise: bytes
) -> None:
    content, ends = build(payloads, WalCodec.NONE)
    start = min(start, len(content) - 1)
    changed = (content[:start] + noise + content[start + len(noise) :])[: len(content)]
    stop = min(start + len(noise), len(content))
    starts = [SEGMENT_HEADER.size, *ends[:-1]]
    untouched = [
        payload
        for payload, first, end in zip(payloads, starts, ends, strict=True)
        if changed[first:end] == content[first:end]
    ]
    records, damages = read(changed)

    assert records == untouched
    assert all(damage.end > start or damage.offset < stop for damage in damages)
    assert bool(damages) == (changed != content)


@given(content=st.binary(max_size=300), prefix=st.booleans())
def test_arbitrary_bytes_are_read_without_an_error_to_their_end(
    content: bytes, prefix: bool
) -> None:
    whole = encode_segment_header() + content if prefix else content
    offset = 0
    for item in decode_segment(whole, SEGMENT):
        assert isinstance(item, WalDamage)
        assert item.offset == offset or item.offset == SEGMENT_HEADER.size
        offset = item.end
    assert offset == len(whole) or len(whole) == SEGMENT_HEADER.size
