import gzip
import zlib

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
