"""A large object in parts: each is sent by itself and again if need be, then all become one."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, BinaryIO

from tracestore.errors import TracestoreError
from tracestore.storage.objects.s3_attempts import Attempts, Request
from tracestore.storage.objects.s3_failures import Failure

log = logging.getLogger(__name__)

PARTS_MAX = 10_000
"""What S3 allows."""


def content_md5(body: bytes | memoryview) -> str:
    """Make the header by which a store knows that a body came whole."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One upload. An upload that fails is taken back; the object appears whole or not at all."""

    client: Any
    attempts: Attempts
    at: dict[str, Any]
    """Bucket and key."""
    what: str
    """The object in words."""
    create: dict[str, Any]
    """Further arguments of its creation."""
    condition: dict[str, str]
    """``IfNoneMatch`` or ``IfMatch``; empty: any object there is replaced."""
    settled: Callable[[Failure], str | None]
    """Finds the etag of the object if it is the one of this upload."""
    part_bytes: int
    concurrency: int

    def of_bytes(self, content: bytes) -> str:
        """Send content. Returns the etag. Raises: ConflictError; UnavailableError."""
        return self._send(lambda start, size: content[start : start + size], len(content))

    def of_file(self, file: BinaryIO, size: int) -> str:
        """Send a file. Returns the etag. Raises: as ``of_bytes``; OSError."""
        lock = Lock()

        def read(start: int, length: int) -> bytes:
            with lock:
                file.seek(start)
                return file.read(length)

        return self._send(read, size)

    def _send(self, read: Callable[[int, int], bytes], size: int) -> str:
        part_bytes = max(self.part_bytes, -(-size // PARTS_MAX))
        created = self.attempts.run(
            Request(operation="create_upload", what=f"begin to put {self.what}"),
            lambda: self.client.create_multipart_upload(**self.at, **self.create),
        )
        upload = self.at | {"UploadId": created["UploadId"]}

        def send(number: int) -> dict[str, Any]:
            body = read(number * part_bytes, part_bytes)
            what = f"put part {number + 1} of {self.what}"
            answer = self.attempts.run(
                Request(operation="put_part", what=what, sent_bytes=len(body)),
                lambda: self.client.upload_part(
                    **upload, PartNumber=number + 1, Body=body, ContentMD5=content_md5(body)
                ),
            )
            return {"PartNumber": number + 1, "ETag": answer["ETag"]}

        try:
            with ThreadPoolExecutor(self.concurrency) as pool:
                parts = list(pool.map(send, range(-(-size // part_bytes))))
            return self._complete(upload, parts)
        except BaseException:
            self._abort(upload)
            raise

    def _complete(self, upload: dict[str, Any], parts: list[dict[str, Any]]) -> str:
        answer: str = self.attempts.run(
            Request(operation="complete_upload", what=f"put {self.what}"),
            lambda: str(
                self.client.complete_multipart_upload(
                    **upload, MultipartUpload={"Parts": parts}, **self.condition
                )["ETag"]
            ).strip('"'),
            settled=self.settled,
        )
        return answer

    def _abort(self, upload: dict[str, Any]) -> None:
        try:
            self.attempts.run(
                Request(operation="abort_upload", what=f"take back the parts of {self.what}"),
                lambda: self.client.abort_multipart_upload(**upload),
            )
        except TracestoreError as error:
            log.warning("parts of an object stay behind", extra={"reason": str(error)})
