"""A body that breaks off on its way to a real S3 server leaves no object behind."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace

import pytest
from support.s3 import S3Place, s3, s3_server  # noqa: F401 - fixtures

from tracestore.errors import NotFoundError, UnavailableError
from tracestore.storage.objects.s3 import S3ObjectStore


def break_off(upstream: str, listener: socket.socket) -> None:
    """Hand on the head of each PUT and nothing of its body; other requests as they are."""
    host, _, port = upstream.rpartition(":")
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client, socket.create_connection((host, int(port))) as server:
            head = b""
            while b"\r\n\r\n" not in head and (data := client.recv(1 << 16)):
                head += data
            head = head[: head.index(b"\r\n\r\n") + 4]
            server.sendall(_for_one_answer(head))
            if not head.startswith(b"PUT "):
                while data := server.recv(1 << 16):
                    client.sendall(data)


def _for_one_answer(head: bytes) -> bytes:
    """Have the server begin at once, and close the connection behind its answer."""
    dropped = (b"expect:", b"connection:")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(dropped)]
    return b"\r\n".join([lines[0], b"Connection: close", *lines[1:]])


@pytest.mark.parametrize("conditional", [True, False])
def test_no_object_without_its_body(s3: S3Place, conditional: bool) -> None:  # noqa: F811
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(
            target=break_off, args=(s3.settings.endpoint, listener), daemon=True
        )
        thread.start()
        endpoint = f"127.0.0.1:{listener.getsockname()[1]}"
        broken: S3ObjectStore = S3Place(settings=replace(s3.settings, endpoint=endpoint)).store(
            attempts_max=1
        )
        put = broken.put_if_absent if conditional else broken.put
        with pytest.raises(UnavailableError):
            put("index/1.json", b"x" * 1000)
        listener.shutdown(socket.SHUT_RDWR)
    with pytest.raises(NotFoundError):
        s3.store().get("index/1.json")
