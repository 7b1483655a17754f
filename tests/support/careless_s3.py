"""A small S3 server of its own that keeps objects in memory and cares for no condition."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def careless_s3(*, heeds: frozenset[str] = frozenset()) -> Iterator[str]:
    """Run one. Gives host:port.

    Args:
        heeds: the headers of conditions that it does keep: ``If-None-Match``, ``If-Match``.
    """
    objects: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._say(200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")

        def do_HEAD(self) -> None:
            self._say(200, b"")

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            there = objects.get(self.path)
            etag = '"' + hashlib.md5(there or b"", usedforsecurity=False).hexdigest() + '"'
            absent, same = self.headers.get("If-None-Match"), self.headers.get("If-Match")
            if ("If-None-Match" in heeds and absent and there is not None) or (
                "If-Match" in heeds and same and same != etag
            ):
                self._say(412, b"<Error><Code>PreconditionFailed</Code></Error>")
                return
            objects[self.path] = body
            self._say(200, b"", hashlib.md5(body, usedforsecurity=False).hexdigest())

        def do_DELETE(self) -> None:
            objects.pop(self.path, None)
            self._say(204, b"")

        def _say(self, status: int, body: bytes, etag: str = "") -> None:
            self.send_response_only(status)
            if etag:
                self.send_header("ETag", f'"{etag}"')
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
