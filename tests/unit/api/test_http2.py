"""HTTP/2 by a client that does what it likes: flow control, resets, bounds, the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest
from support.streaming import GatedSource, StreamingApi, streaming_api, with_limits
from support.tempopb import message

from tracestore.api.http2 import RESETS_MAX, RESETS_PER_S

TIMEOUT_S = 30.0
WINDOW = 65535
"""What may be sent on a connection before the client takes anything, unless it says otherwise."""
SEARCH = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "x"),
    (":path", "/tempopb.StreamingQuerier/Search"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]
GET = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/api/search")]


def run(check: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(check())  # type: ignore[arg-type]  # a coroutine is what it is


def request(query: str = "{}") -> bytes:
    body: bytes = message("SearchRequest")(Query=query, Limit=10_000).SerializeToString()
    return b"\0" + len(body).to_bytes(4, "big") + body


class Client:
    """A connection; nothing is acknowledged that the test does not acknowledge."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.state = h2.connection.H2Connection()
        self.state.initiate_connection()
        self.seen: list[h2.events.Event] = []

    def flush(self) -> None:
        self.writer.write(self.state.data_to_send())

    def ask(self, headers: list[tuple[str, str]], body: bytes | None = None) -> int:
        stream_id: int = self.state.get_next_available_stream_id()
        self.state.send_headers(stream_id, headers, end_stream=body is None)
        if body is not None:
            self.state.send_data(stream_id, body, end_stream=True)
        self.flush()
        return stream_id

    async def until(self, found: Callable[[h2.events.Event], bool]) -> Any:
        """Read until an event comes, or is there already."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                for event in self.seen:
                    if found(event):
                        return event
                data = await self.reader.read(65536)
                assert data, "the server closed the connection"
                self.seen += self.state.receive_data(data)
                self.flush()

    def body(self, stream_id: int) -> bytes:
        data = [e for e in self.seen if isinstance(e, h2.events.DataReceived)]
        return b"".join(e.data or b"" for e in data if e.stream_id == stream_id)


@asynccontextmanager
async def connect(api: StreamingApi, *, own: bool = False) -> AsyncIterator[Client]:
    host, _, port = (api.own_port if own else api.api_port).rpartition(":")
    client = Client(*await asyncio.open_connection(host, int(port)))
    client.flush()
    try:
        yield client
    finally:
        client.writer.close()


def many() -> GatedSource:
    return GatedSource("many", {t: t for t in range(1, 1500)}, is_open=True)


def is_reset(event: h2.events.Event) -> bool:
    return isinstance(event, h2.events.StreamReset)


def ended(stream_id: int) -> Callable[[h2.events.Event], bool]:
    return lambda e: isinstance(e, h2.events.StreamEnded) and e.stream_id == stream_id


def test_no_more_is_sent_than_the_client_takes_and_others_go_on() -> None:
    async def check() -> None:
        async with streaming_api([many()]) as api, connect(api) as client:
            client.state.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1000})
            client.flush()
            await client.until(lambda e: isinstance(e, h2.events.SettingsAcknowledged))
            slow = client.ask(SEARCH, request())
            await client.until(lambda _: len(client.body(slow)) == 1000)
            quick = client.ask(SEARCH, request("{ name = `span 7` }"))
            await client.until(ended(quick))
            assert len(client.body(slow)) == 1000
            while not any(ended(slow)(event) for event in client.seen):
                client.state.increment_flow_control_window(20_000, slow)
                client.state.increment_flow_control_window(20_000)
                client.flush()
                before = len(client.seen)
                await client.until(lambda _, before=before: len(client.seen) > before)
            assert len(client.body(slow)) > WINDOW  # it did need the windows
            trailers = [e for e in client.seen if isinstance(e, h2.events.TrailersReceived)]
            assert [(b"grpc-status", b"0") in (e.headers or ()) for e in trailers] == [True] * 2

    run(check)


def test_a_client_that_takes_nothing_is_given_up() -> None:
    async def check() -> None:
        limits = with_limits(http2_stall_timeout_s=0.2)
        async with streaming_api([many()], server=limits) as api, connect(api) as client:
            client.ask(SEARCH, request())  # the answer is larger than a window
            reset = await client.until(is_reset)
            assert reset.error_code == h2.errors.ErrorCodes.CANCEL
            async with asyncio.timeout(TIMEOUT_S):
                while api.http._server.server_state.tasks:
                    await asyncio.sleep(0.01)

    run(check)


def test_a_client_of_the_own_port_that_takes_nothing_is_given_up() -> None:
    async def check() -> None:
        limits = with_limits(http2_stall_timeout_s=0.2)
        async with streaming_api([many()], server=limits) as api, connect(api, own=True) as client:
            client.ask(SEARCH, request())
            labels = {"method": "gRPC", "route": "/tempopb.StreamingQuerier/Search"}
            labels |= {"status_code": "cancel", "ws": "false"}
            counted = "tempo_request_duration_seconds_count"
            async with asyncio.timeout(TIMEOUT_S):
                while not api.metrics.value(counted, **labels):
                    await asyncio.sleep(0.01)

    run(check)


def test_a_client_that_does_not_read_its_socket_is_given_up() -> None:
    async def check() -> None:
        limits = with_limits(http2_stall_timeout_s=0.3)
        async with streaming_api([many()], server=limits) as api, connect(api) as client:
            size = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1}
            client.state.update_settings(size)
            client.state.increment_flow_control_window(2**31 - 1 - 65535)
            client.flush()
            for _ in range(40):
                client.ask(SEARCH, request())
            await asyncio.sleep(0)
            async with asyncio.timeout(TIMEOUT_S):
                while api.metrics.value("tracestore_http_connections") == 1:
                    await asyncio.sleep(0.05)

    run(check)


def test_streams_beyond_the_limit_are_refused_also_when_resets_make_room() -> None:
    held = GatedSource("held", {1: 1})

    async def check() -> None:
        limits = with_limits(grpc_server_max_concurrent_streams=3)
        async with streaming_api([held], server=limits) as api, connect(api) as client:
            # no setting is known yet, so nothing holds the client back
            for _ in range(3):
                client.ask(SEARCH, request())
            client.ask(GET)
            refused = await client.until(
                lambda e: is_reset(e) or isinstance(e, h2.events.ConnectionTerminated)
            )
            assert refused.error_code in (
                h2.errors.ErrorCodes.REFUSED_STREAM,
                h2.errors.ErrorCodes.PROTOCOL_ERROR,
            )
            held.gate.set()

    run(check)


def test_the_end_is_announced_and_streams_in_progress_are_answered() -> None:
    held = GatedSource("held", {1: 1})

    async def check() -> None:
        async with streaming_api([held]) as api, connect(api) as client:
            stream = client.ask(SEARCH, request())
            async with asyncio.TaskGroup() as tasks:
                while not held.reached.is_set():
                    await asyncio.sleep(0.01)
                draining = tasks.create_task(api.http.drain())
                async with asyncio.timeout(TIMEOUT_S):
                    goaway = await read_frame(client, kind=7)
                assert int.from_bytes(goaway[9:13], "big") == stream
                assert not draining.done()
                held.gate.set()
                rest = await client.reader.read()
            kinds = frame_kinds(rest)
            assert kinds[-1] == 1  # HEADERS: the trailers
            assert 0 in kinds  # DATA

    run(check)


async def read_frame(client: Client, kind: int) -> bytes:
    while True:
        head = await client.reader.readexactly(9)
        frame = head + await client.reader.readexactly(int.from_bytes(head[:3], "big"))
        if head[3] == kind:
            return frame


def frame_kinds(data: bytes) -> list[int]:
    kinds, place = [], 0
    while place < len(data):
        kinds.append(data[place + 3])
        place += 9 + int.from_bytes(data[place : place + 3], "big")
    return kinds


def test_an_idle_connection_is_closed() -> None:
    async def check() -> None:
        limits = with_limits(http2_idle_timeout_s=0.2)
        async with streaming_api([many()], server=limits) as api, connect(api) as client:
            stream = client.ask(GET)
            await client.until(ended(stream))
            goaway = await client.until(lambda e: isinstance(e, h2.events.ConnectionTerminated))
            assert goaway.error_code == h2.errors.ErrorCodes.NO_ERROR

    run(check)


def test_what_is_no_call_is_told_so_by_status() -> None:
    wanted = {
        ("POST", "application/grpc-web"): 415,
        ("GET", "application/grpc"): 405,
        ("POST", "application/grpc+json"): 415,
    }

    async def check() -> None:
        async with streaming_api([many()]) as api, connect(api) as client:
            for (verb, kind), status in wanted.items():
                headers = [(":method", verb), *SEARCH[1:-1], ("content-type", kind)]
                stream = client.ask(headers)
                await client.until(ended(stream))
                answer = next(
                    e
                    for e in client.seen
                    if isinstance(e, h2.events.ResponseReceived) and e.stream_id == stream
                )
                assert dict(answer.headers or ())[b":status"] == str(status).encode()

    run(check)


def test_a_call_that_is_not_one_whole_message_fails() -> None:
    bad = [b"", b"\0\0\0\0", request() + b"x", request()[:-1], b"\1" + request()[1:]]

    async def check() -> None:
        async with streaming_api([many()]) as api, connect(api) as client:
            for body in bad:
                stream = client.ask(SEARCH, body)
                await client.until(ended(stream))
                answer = [
                    dict(e.headers or ())
                    for e in client.seen
                    if isinstance(e, h2.events.ResponseReceived) and e.stream_id == stream
                ]
                assert answer[0][b"grpc-status"] in (b"12", b"13")

    run(check)


def test_a_client_that_leaves_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    held = GatedSource("held", {1: 1})

    async def check() -> None:
        async with streaming_api([held]) as api:
            async with connect(api) as client:
                for headers, body in ((GET, None), (SEARCH, request())):
                    stream = client.ask(headers, body)
                    client.state.reset_stream(stream)
                client.flush()
                client.ask(GET)
                while not held.reached.is_set():
                    await asyncio.sleep(0.01)
            held.gate.set()
            async with asyncio.timeout(TIMEOUT_S):
                while api.http._server.server_state.tasks:
                    await asyncio.sleep(0.01)

    run(check)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_one_stream_at_a_time_is_enough() -> None:
    async def check() -> None:
        limits = with_limits(grpc_server_max_concurrent_streams=1)
        async with streaming_api([many()], server=limits) as api, connect(api) as client:
            for _ in range(3):
                stream = client.ask(GET)
                await client.until(ended(stream))

    run(check)


def test_a_client_that_takes_back_request_after_request_is_told_to_calm_down() -> None:
    async def check() -> None:
        async with streaming_api([many()]) as api, connect(api) as client:
            for _ in range(RESETS_MAX + RESETS_PER_S * 5):
                client.state.reset_stream(client.ask(GET))
            client.flush()
            goaway = await client.until(lambda e: isinstance(e, h2.events.ConnectionTerminated))
            assert goaway.error_code == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
            async with connect(api) as other:
                await other.until(ended(other.ask(GET)))

    run(check)
