"""A bucket of any store that speaks S3.

Each request is made within bounds of number and time (``s3_attempts.py``). A conditional write
carries an id of its own in the object's metadata, so that one whose answer was lost and which is
then refused is recognised: it was ours that is there. Objects larger than a part are sent in parts.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tracestore.errors import ConflictError, NotFoundError, UnavailableError
from tracestore.model.times import SECOND_NS
from tracestore.settings.s3_tree import S3Settings
from tracestore.storage.objects.coalesce import Range, assemble, coalesce
from tracestore.storage.objects.interface import ObjectInfo
from tracestore.storage.objects.keys import check_key, check_prefix, is_key
from tracestore.storage.objects.s3_attempts import Attempts, Request, TruncatedError
from tracestore.storage.objects.s3_failures import Failure
from tracestore.storage.objects.s3_order import in_byte_order, start_before
from tracestore.storage.objects.s3_upload import Upload, content_md5

WRITE_ID: Final = "tracestore-write"
"""Metadata of conditional writes."""
DELETED_AT_ONCE = 1000
"""Objects that one request may delete."""
_CHUNK_BYTES = 1 << 18


class S3ObjectStore:
    """Objects of a bucket below a prefix. Thread-safe.

    Args:
        client: of boto3, made by ``make_client``.
        attempts: makes the requests, and measures each.
    """

    def __init__(self, client: Any, settings: S3Settings, attempts: Attempts) -> None:
        self._client = client
        self._settings = settings
        self._attempts = attempts
        self._readers = ThreadPoolExecutor(settings.read_concurrency, "s3-read")
        prefix = settings.prefix.strip("/")
        self._prefix = f"{prefix}/" if prefix else ""

    def url(self, key: str = "") -> str:
        """Say where an object is, for messages."""
        return f"s3://{self._settings.bucket}/{self._prefix}{key}"

    def put(self, key: str, content: bytes | memoryview) -> str:
        check_key(key)
        return self._write("put", key, content, {})

    def put_if_absent(self, key: str, content: bytes | memoryview) -> str:
        check_key(key)
        return self._write("put_if_absent", key, content, {"IfNoneMatch": "*"})

    def put_if_match(self, key: str, content: bytes | memoryview, etag: str) -> str:
        check_key(key)
        try:
            return self._write("put_if_match", key, content, {"IfMatch": _quoted(etag)})
        except NotFoundError as error:
            raise ConflictError(f"object {key} is not there, so not of etag {etag}") from error

    def put_file(self, key: str, path: str) -> str:
        check_key(key)
        try:
            size = Path(path).stat().st_size
            with open(path, "rb") as file:
                if size <= self._part_bytes:
                    etag = self._send("put_file", key, file.read(), {})
                else:
                    etag = self._upload(key, {}).of_file(file, size)
        except OSError as error:
            raise UnavailableError(f"cannot read {path} for object {key}: {error}") from error
        return etag

    def get(self, key: str) -> bytes:
        return self.get_with_etag(key)[0]

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        check_key(key)
        if length == 0:
            self.head(key)
            return b""
        request = self._request("get_range", key)
        arguments = {"Range": f"bytes={offset}-{offset + length - 1}"}

        def past_the_end(failure: Failure) -> tuple[bytes, str] | None:
            return (b"", "") if failure.status == 416 else None

        return self._attempts.run(
            request,
            lambda: self._read(key, arguments),
            received=lambda answer: len(answer[0]),
            instead=past_the_end,
        )[0]

    def get_ranges(self, key: str, ranges: Sequence[Range]) -> Sequence[bytes]:
        planned = coalesce(
            ranges, gap=self._settings.read_gap_bytes, longest=self._settings.read_bytes_max
        )
        starts = [offset for offset, _ in planned]
        if len(planned) <= 1:
            parts = [self.get_range(key, *each) for each in planned]
        else:
            futures = [self._readers.submit(self.get_range, key, *each) for each in planned]
            parts = [future.result() for future in futures]
        read = dict(zip(starts, parts, strict=True))
        return [assemble(each, read, starts) for each in ranges]

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        check_key(key)
        return self._attempts.run(
            self._request("get", key),
            lambda: self._read(key, {}),
            received=lambda answer: len(answer[0]),
        )

    def head(self, key: str) -> ObjectInfo:
        check_key(key)
        answer = self._head(key)
        return _info(key, answer, answer["ContentLength"])

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        check_prefix(prefix)
        floor = after.encode()
        start = ""
        if after.startswith(prefix):
            start = start_before(prefix, after)
        elif floor > prefix.encode():
            return
        for info in in_byte_order(self._entries(prefix, start), prefix):
            if info.key.encode() > floor:
                yield info

    def delete(self, key: str) -> None:
        check_key(key)
        try:
            self._attempts.run(
                self._request("delete", key), lambda: self._client.delete_object(**self._at(key))
            )
        except NotFoundError:
            return

    def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            check_key(key)
        for start in range(0, len(keys), DELETED_AT_ONCE):
            self._delete_some(keys[start : start + DELETED_AT_ONCE])

    def local_path(self, key: str) -> str | None:
        check_key(key)
        return None

    def _delete_some(self, keys: Sequence[str]) -> None:
        objects = [{"Key": self._prefix + key} for key in keys]
        request = Request(
            operation="delete_many", what=f"delete {len(keys)} objects of {self.url()}"
        )
        answer = self._attempts.run(
            request,
            lambda: self._client.delete_objects(
                Bucket=self._settings.bucket, Delete={"Objects": objects, "Quiet": True}
            ),
        )
        for refused in answer.get("Errors", ()):
            if refused.get("Code") not in ("NoSuchKey", "NotFound"):
                self.delete(refused["Key"].removeprefix(self._prefix))

    @property
    def _part_bytes(self) -> int:
        return self._settings.part_bytes

    def _at(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._settings.bucket, "Key": self._prefix + key}

    def _request(self, operation: str, key: str, sent_bytes: int = 0) -> Request:
        what = f"{operation} {self.url(key)}"
        return Request(operation=operation, what=what, sent_bytes=sent_bytes)

    def _write(
        self, operation: str, key: str, content: bytes | memoryview, condition: dict[str, str]
    ) -> str:
        body = content if isinstance(content, bytes) else bytes(content)
        if len(body) > self._part_bytes:
            return self._upload(key, condition).of_bytes(body)
        return self._send(operation, key, body, condition)

    def _send(self, operation: str, key: str, body: bytes, condition: dict[str, str]) -> str:
        mark = str(uuid.uuid4())
        # a server that is sent half a body must not take it for the whole: SeaweedFS does otherwise
        arguments = self._at(key) | self._marks(mark, condition) | condition
        arguments["ContentMD5"] = content_md5(body)
        answer: str = self._attempts.run(
            self._request(operation, key, len(body)),
            lambda: _etag(self._client.put_object(Body=body, **arguments)),
            settled=self._written_as(key, mark) if condition else lambda _: None,
        )
        return answer

    def _upload(self, key: str, condition: dict[str, str]) -> Upload:
        mark = str(uuid.uuid4())
        return Upload(
            client=self._client,
            attempts=self._attempts,
            at=self._at(key),
            what=self.url(key),
            create=self._marks(mark, {"": ""}),
            condition=condition,
            settled=self._written_as(key, mark),
            part_bytes=self._part_bytes,
            concurrency=self._settings.upload_concurrency,
        )

    def _marks(self, mark: str, condition: dict[str, str]) -> dict[str, Any]:
        """Make the arguments of an object's creation."""
        marks: dict[str, Any] = {"Metadata": {WRITE_ID: mark}} if condition else {}
        if self._settings.storage_class:
            marks["StorageClass"] = self._settings.storage_class
        if self._settings.sse.type == "SSE-S3":
            marks["ServerSideEncryption"] = "AES256"
        if self._settings.sse.type == "SSE-KMS":
            marks["ServerSideEncryption"] = "aws:kms"
            if self._settings.sse.kms_key_id:
                marks["SSEKMSKeyId"] = self._settings.sse.kms_key_id
        return marks

    def _written_as(self, key: str, mark: str) -> Callable[[Failure], str | None]:
        """Make what finds out whether the object that is there is the one of a lost answer."""

        def etag_of_ours(_: Failure) -> str | None:
            try:
                answer = self._head(key)
            except NotFoundError:
                return None
            return _etag(answer) if answer.get("Metadata", {}).get(WRITE_ID) == mark else None

        return etag_of_ours

    def _head(self, key: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._attempts.run(
            self._request("head", key), lambda: self._client.head_object(**self._at(key))
        )
        return answer

    def _read(self, key: str, arguments: dict[str, str]) -> tuple[bytes, str]:
        """Read an answer whole. Raises: also TruncatedError."""
        answer = self._client.get_object(**self._at(key), **arguments)
        expected = int(answer["ContentLength"])
        with answer["Body"] as body:
            chunks = []
            while chunk := body.read(_CHUNK_BYTES):
                chunks.append(chunk)
        content = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if len(content) != expected:
            raise TruncatedError(f"{len(content)} bytes came of {expected}")
        if arguments and not _is_of_range(answer, arguments["Range"]):
            raise TruncatedError(f"asked for {arguments['Range']}, got another range")
        return content, _etag(answer)

    def _entries(self, prefix: str, after: str) -> Iterator[ObjectInfo]:
        """List in the order of the store."""
        arguments: dict[str, Any] = {
            "Bucket": self._settings.bucket,
            "Prefix": self._prefix + prefix,
        }
        if after:
            arguments["StartAfter"] = self._prefix + after
        request = Request(operation="list", what=f"list {self.url(prefix)}")
        while True:
            page = self._attempts.run(request, lambda: self._client.list_objects_v2(**arguments))
            for entry in page.get("Contents", ()):
                key = entry["Key"].removeprefix(self._prefix)
                if is_key(key):
                    yield _info(key, entry, entry["Size"])
            if not page.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = page["NextContinuationToken"]


def _is_of_range(answer: dict[str, Any], asked: str) -> bool:
    """Check that a store did not answer with the whole object, or with another part of it."""
    given = str(answer.get("ContentRange", ""))
    return given.startswith(f"bytes {asked.removeprefix('bytes=').partition('-')[0]}-")


def _info(key: str, answer: dict[str, Any], size: int) -> ObjectInfo:
    modified: datetime = answer["LastModified"]
    modified_ns = int(modified.timestamp()) * SECOND_NS
    return ObjectInfo(key=key, bytes=size, etag=_etag(answer), modified_ns=modified_ns)


def _etag(answer: dict[str, Any]) -> str:
    return str(answer["ETag"]).strip('"')


def _quoted(etag: str) -> str:
    return f'"{etag}"'
