import struct

import google_crc32c
import pytest

from tracestore.codec.wal_record import (
    MARKER,
    RECORD_HEADER_BYTES,
    SEGMENT_HEADER,
    WalCodec,
    WalDamage,
    WalRecord,
    decode_segment,
    encode_record,
    encode_segment_header,
)
from tracestore.codec.wal_record import segment_seed as seed_of
from tracestore.errors import CorruptionError, InvalidRequestError

SEGMENT = "018bcfe5-6800-7000-8000-000000000001"


def build(*payloads: bytes, codec: WalCodec = WalCodec.NONE, segment: str = SEGMENT) -> bytes:
    parts = [encode_segment_header()]
    for number, payload in enumerate(payloads):
        record = encode_record(payload, tenant="shop", received_ns=number, codec=codec)
        parts += record.seal(seed_of(segment))
    return b"".join(parts)


def read(content: bytes, segment: str = SEGMENT) -> list[bytes | WalDamage]:
    items = decode_segment(content, segment)
    return [item.payload if isinstance(item, WalRecord) else item for item in items]


@pytest.mark.parametrize("codec", list(WalCodec))
@pytest.mark.parametrize("payload", [b"", b"x", b"spans " * 5000, bytes(range(256))])
def test_a_record_is_read_back_as_encoded(codec: WalCodec, payload: bytes) -> None:
    content = build(payload, codec=codec)
    (item,) = decode_segment(content, SEGMENT)

    assert isinstance(item, WalRecord)
    assert (item.payload, item.tenant, item.received_ns) == (payload, "shop", 0)
    assert (item.offset, item.end) == (SEGMENT_HEADER.size, len(content))


def test_any_kind_of_bytes_is_taken() -> None:
    for payload in (bytearray(b"abc" * 99), memoryview(b"xabcx" * 99)[1:-1]):
        for codec in WalCodec:
            record = encode_record(payload, tenant="t", received_ns=0, codec=codec)
            content = encode_segment_header() + b"".join(record.seal(seed_of(SEGMENT)))
            assert read(content) == [bytes(payload)]


def test_compression_is_used_where_it_helps() -> None:
    text = b"service.name checkout " * 100
    sizes = [
        encode_record(text, tenant="t", received_ns=0, codec=codec).size
        for codec in (WalCodec.ZSTD, WalCodec.LZ4, WalCodec.NONE)
    ]

    assert sizes == sorted(sizes)
    assert sizes[1] < len(text) / 5
    assert encode_record(b"x", tenant="t", received_ns=0, codec=WalCodec.LZ4).size == (
        RECORD_HEADER_BYTES + 2
    )


@pytest.mark.parametrize("codec", list(WalCodec))
def test_a_sealed_record_is_as_long_as_it_says_by_every_measure(codec: WalCodec) -> None:
    record = encode_record(b"spans " * 5000, tenant="t", received_ns=0, codec=codec)
    head, payload = record.seal(seed_of(SEGMENT))

    assert len(head) + len(payload) == len(head) + payload.nbytes == record.size
    assert len(head + payload[:]) == record.size


def test_the_bytes_are_those_of_the_format_description() -> None:
    content = build(b"OTLP")
    head = b"TSWALSEG" + struct.pack("<HH", 1, 0)
    body = b"shop" + b"OTLP"
    fields = b"\xf1TWR" + struct.pack("<IIQIBBH", 8, google_crc32c.value(body), 0, 4, 0, 4, 0)
    crc = google_crc32c.value(SEGMENT.encode() + fields)

    assert content == (
        head + struct.pack("<I", google_crc32c.value(head)) + fields + struct.pack("<I", crc) + body
    )


def test_a_payload_larger_than_a_record_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracestore.codec.wal_record.PAYLOAD_BYTES_MAX", 10)

    with pytest.raises(InvalidRequestError, match="11 bytes"):
        encode_record(b"x" * 11, tenant="t", received_ns=0, codec=WalCodec.NONE)


def test_a_damaged_record_in_the_middle_does_not_hide_the_others() -> None:
    content = bytearray(build(b"one", b"two", b"three"))
    at = content.index(b"two")
    content[at] ^= 1
    first, damage, third = read(bytes(content))

    assert (first, third) == (b"one", b"three")
    assert isinstance(damage, WalDamage)
    assert not damage.torn
    assert content[damage.offset : damage.offset + 4] == MARKER
    assert damage.end - damage.offset == RECORD_HEADER_BYTES + len(b"shoptwo")


def test_a_damaged_length_does_not_hide_the_others() -> None:
    content = bytearray(build(b"one", b"two", b"three"))
    content[content.index(b"two") - 4 - RECORD_HEADER_BYTES + 5] ^= 0xFF

    assert [item for item in read(bytes(content)) if isinstance(item, bytes)] == [b"one", b"three"]


def test_bytes_missing_in_the_middle_cost_only_their_record() -> None:
    content = build(b"one", b"two" * 30, b"three", b"four")
    at = content.index(b"two")
    items = read(content[:at] + content[at + 5 :])

    assert [item for item in items if isinstance(item, bytes)] == [b"one", b"three", b"four"]
    assert len(items) == 4


def test_a_payload_that_looks_like_a_record_is_not_one() -> None:
    forged = build(b"forged")[SEGMENT_HEADER.size :]
    other = build(b"forged", segment="another")[SEGMENT_HEADER.size :]
    content = bytearray(build(b"a" + other + MARKER * 9, b"last"))
    content[content.index(b"a" + other)] ^= 1
    damage, last = read(bytes(content))

    assert isinstance(damage, WalDamage)
    assert last == b"last"
    assert read(build(forged)) == [forged]


def test_a_last_record_that_is_cut_off_or_full_of_zeros_is_torn() -> None:
    content = build(b"one", b"\x01" * 2000)
    cut = read(content[:-1])
    unwritten = read(content[:-1500] + bytes(1500))

    for items in (cut, unwritten):
        assert items[0] == b"one"
        assert isinstance(items[1], WalDamage)
        assert items[1].torn
    assert read(build(b"one") + bytes(8192))[1:] == [
        WalDamage(
            offset=len(build(b"one")),
            end=len(build(b"one")) + 8192,
            torn=True,
            reason="its header is damaged",
        )
    ]


def test_a_last_record_that_is_whole_but_changed_is_not_taken_for_torn() -> None:
    content = bytearray(build(b"one", b"two"))
    content[-1] ^= 0x10
    damage = read(bytes(content))[1]

    assert isinstance(damage, WalDamage)
    assert not damage.torn


def test_a_damaged_segment_header_costs_no_record() -> None:
    for at in range(SEGMENT_HEADER.size):
        content = bytearray(build(b"one", b"two"))
        content[at] ^= 0x40
        damage, *records = read(bytes(content))

        assert isinstance(damage, WalDamage)
        assert (damage.offset, damage.end) == (0, SEGMENT_HEADER.size)
        assert records == [b"one", b"two"]


def test_a_newer_version_is_refused_rather_than_thrown_away() -> None:
    head = b"TSWALSEG" + struct.pack("<HH", 2, 0)
    content = head + struct.pack("<I", google_crc32c.value(head)) + b"unknown"

    with pytest.raises(CorruptionError, match="version 2"):
        read(content)


def test_a_payload_that_does_not_decompress_is_damage() -> None:
    body = b"shop" + b"no lz4 frame"
    fields = b"\xf1TWR" + struct.pack(
        "<IIQIBBH", len(body), google_crc32c.value(body), 0, 99, WalCodec.LZ4, 4, 0
    )
    crc = google_crc32c.extend(seed_of(SEGMENT), fields)
    (damage,) = read(encode_segment_header() + fields + struct.pack("<I", crc) + body)

    assert isinstance(damage, WalDamage)
    assert not damage.torn
    assert "decompressed" in damage.reason
