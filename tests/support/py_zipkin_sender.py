"""Sends one trace with py-zipkin: ``py_zipkin_sender.py ENCODING URL``; prints the IDs it drew."""

from __future__ import annotations

import json
import sys
import urllib.request

from py_zipkin import Encoding
from py_zipkin.transport import BaseTransportHandler
from py_zipkin.zipkin import zipkin_client_span, zipkin_server_span


class Post(BaseTransportHandler):
    """Posts what the library encoded."""

    def __init__(self, url: str, content_type: str) -> None:
        self._url = url
        self._headers = {"Content-Type": content_type}

    def get_max_payload_bytes(self) -> None:
        """There is no limit."""

    def send(self, payload: bytes | str) -> None:
        body = payload.encode() if isinstance(payload, str) else payload
        request = urllib.request.Request(self._url, body, self._headers)
        with urllib.request.urlopen(request, timeout=30) as reply:
            assert reply.status == 202, reply.status


def main() -> None:
    """Send the trace."""
    encoding = Encoding[sys.argv[1]]
    content_type = "application/x-protobuf" if "PROTO" in encoding.name else "application/json"
    with zipkin_server_span(
        service_name="shop",
        span_name="GET /cart",
        transport_handler=Post(sys.argv[2], content_type),
        port=80,
        sample_rate=100,
        binary_annotations={"text": "käse"},
        encoding=encoding,
    ) as root:
        with zipkin_client_span(service_name="shop", span_name="SELECT") as child:
            child.update_binary_annotations({"error": "no rows"})
            child.add_annotation("cache miss")
            ids = [span.zipkin_attrs.span_id for span in (root, child)]
        trace = root.zipkin_attrs.trace_id
    print(json.dumps({"trace": trace, "ids": ids}))  # noqa: T201


if __name__ == "__main__":
    main()
