import gzip
import zlib

import google_crc32c
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracestore.codec.compression import ENCODINGS, decompress
from tracestore.errors import InvalidRequestError, MalformedError, TooLargeError

BODY = b"spans and spans and more of them " * 1000


def packed(encoding: str, body: bytes) -> bytes:
    match encoding:
        case "identity":
            return body
        case "gzip":
            return gzip.compress(body)
        case "zlib" | "deflate":
            return zlib.compress(body)
        case "snappy":
            return bytes(pa.compress(body, codec="snappy", asbytes=True))
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, encoding) as stream:
        stream.write(body)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_each_encoding_gives_the_body_back(encoding: str) -> None:
    assert decompress(packed(encoding, BODY), encoding, bytes_max=len(BODY)) == BODY


@pytest.mark.parametrize("encoding", [e for e in ENCODINGS if e != "identity"])
def test_output_beyond_the_limit_is_refused(encoding: str) -> None:
    with pytest.raises(TooLargeError):
        decompress(packed(encoding, BODY), encoding, bytes_max=len(BODY) - 1)


@pytest.mark.parametrize("encoding", ["gzip", "zlib", "deflate"])
def test_a_body_that_is_cut_off_is_malformed(encoding: str) -> None:
    with pytest.raises(MalformedError):
        decompress(packed(encoding, BODY)[:-9], encoding, bytes_max=len(BODY))


@given(
    st.binary(min_size=1, max_size=200), st.sampled_from([e for e in ENCODINGS if e != "identity"])
)
def test_other_bytes_are_an_answer_not_a_crash(body: bytes, encoding: str) -> None:
    try:
        content = decompress(body, encoding, bytes_max=1 << 20)
    except InvalidRequestError:
        return
    assert len(content) <= 1 << 20


def test_members_of_gzip_are_joined() -> None:
    assert (
        decompress(gzip.compress(b"one") + gzip.compress(b"two"), "gzip", bytes_max=9) == b"onetwo"
    )


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="unsupported Content-Encoding: br"):
        decompress(b"", "br", bytes_max=9)


def snappy_frame(piece: bytes, *, compressed: bool) -> bytes:
    crc = google_crc32c.value(piece)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    content = packed("snappy", piece) if compressed else piece
    kind = b"\x00" if compressed else b"\x01"
    return kind + (len(content) + 4).to_bytes(3, "little") + masked.to_bytes(4, "little") + content


SNAPPY_MAGIC = b"\xff\x06\x00\x00sNaPpY"
FRAMED = (
    SNAPPY_MAGIC
    + snappy_frame(BODY[:20_000], compressed=True)
    + b"\xfe\x03\x00\x00pad"
    + snappy_frame(BODY[20_000:], compressed=False)
)


def test_framed_snappy_is_told_by_its_magic() -> None:
    assert decompress(FRAMED, "snappy", bytes_max=len(BODY)) == BODY
    with pytest.raises(TooLargeError):
        decompress(FRAMED, "snappy", bytes_max=len(BODY) - 1)


def test_framed_snappy_of_the_format_description() -> None:
    # The CRC-32C of "abc" is 0x364b3fb7, masked 0xa282ead8 + 0x7f6e6c96 = 0x21f1576e.
    frame = bytes.fromhex("01070000 6e57f121 616263")

    assert decompress(SNAPPY_MAGIC + frame, "snappy", bytes_max=3) == b"abc"


@pytest.mark.parametrize(
    "body",
    [
        FRAMED[:-1],
        FRAMED[:13],
        SNAPPY_MAGIC + b"\x00",
        SNAPPY_MAGIC + b"\x02\x00\x00\x00",
        SNAPPY_MAGIC + b"\x01\x00\x00\x00",
        SNAPPY_MAGIC + b"\x01\x07\x00\x00\x00\x00\x00\x00abc",
    ],
)
def test_framed_snappy_that_is_broken_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        decompress(body, "snappy", bytes_max=1 << 20)
