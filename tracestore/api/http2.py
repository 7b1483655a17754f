"""HTTP/2 without TLS on a connection: frames in, one ASGI call per stream, frames out.

``h2`` keeps the state of the protocol; here is what it leaves to its user: tasks, flow control,
bounds, and an end that lets streams finish. The application is any ASGI application; trailers are
given by the extension ``http.response.trailers``, which gRPC needs.

Source: RFC 9113; ASGI specification 3.0, "HTTP & WebSocket".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hyperframe.frame import GoAwayFrame

from tracestore.api.http2_stream import Http2Stream

log = logging.getLogger(__name__)

HEADER_BYTES_MAX = 64 * 1024
"""Headers of a request, decoded."""

RESETS_PER_S = 100
RESETS_MAX = 1000
"""Requests that a client may take back: at a time, and in the long run. Nobody does that in good
faith; each costs more to begin than to take back."""
WINDOW_MAX = 2**31 - 1
UNREAD_BYTES_MAX = 16 * 1024 * 1024
"""What is taken of the body of a request that was answered unread. Many clients look for an answer
only once their body is sent; one that sends more is stopped."""

Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Http2Limits:
    """Bounds of one connection."""

    streams_max: int
    """Requests in progress; a client that keeps to the protocol waits beyond."""
    stall_timeout_s: float
    """A client that takes no byte of an answer for so long is given up."""
    idle_timeout_s: float
    """A connection without requests is closed after this time."""


class Listener(Protocol):
    """What a connection shares with the server that accepted it (uvicorn's ``ServerState``)."""

    connections: set[Any]
    """Connections that are open; each has ``shutdown()``."""
    tasks: set[asyncio.Task[None]]
    """Requests in progress, cut off when the drain takes too long."""
    default_headers: list[tuple[bytes, bytes]]


class Http2Protocol(asyncio.Protocol):
    """One connection."""

    def __init__(self, app: AsgiApp, listener: Listener, limits: Http2Limits) -> None:
        self._app = app
        self._listener = listener
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding=None)
        )
        self._connection.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: limits.streams_max,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: HEADER_BYTES_MAX,
            },
        )
        self._streams: dict[int, Http2Stream] = {}
        self._unread: dict[int, int] = {}
        """Bytes that came after the answer, by stream."""
        self._resets = 0.0
        self._reset_at = 0.0
        self._transport: asyncio.Transport
        self._writable = asyncio.Event()
        self._writable.set()
        self._is_ending = False
        self._idle_timer: asyncio.TimerHandle | None = None

    # ---- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the settings go out first."""
        self._transport = cast("asyncio.Transport", transport)
        self._listener.connections.add(self)
        self._connection.initiate_connection()
        # each stream may be sent one window before it is read; together no stream waits for another
        window = self._connection.local_settings.initial_window_size
        if spare := window * (self._limits.streams_max - 1):
            self._connection.increment_flow_control_window(min(spare, WINDOW_MAX - window))
        self.flush()
        self._watch_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        """End all streams: nobody hears the answers."""
        self._listener.connections.discard(self)
        self._stop_idle_timer()
        self._writable.set()
        for stream in list(self._streams.values()):
            stream.disconnect()

    def pause_writing(self) -> None:
        """The client reads slowly: take no more of it either, or its pings would pile up."""
        self._writable.clear()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._writable.set()
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Take what came; what is no HTTP/2 ends the connection, with the reason."""
        try:
            events = self._connection.receive_data(data)
        except h2.exceptions.H2Error as error:
            log.debug("connection ended: no HTTP/2", extra={"error": str(error)})
            self.flush()
            self._close()
            return
        for event in events:
            if not self._transport.is_closing():
                self._handle(event)
        self.flush()

    # ---- events

    def _handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=int(stream_id), headers=headers):
                self._begin(stream_id, headers)
            case h2.events.DataReceived(stream_id=int(stream_id), data=data):
                length = event.flow_controlled_length
                if (stream := self._streams.get(stream_id)) is None:
                    self._pass_over(stream_id, length)
                else:
                    stream.receive_data(data or b"", length)
            case h2.events.StreamEnded(stream_id=int(stream_id)):
                self._unread.pop(stream_id, None)
                if stream := self._streams.get(stream_id):
                    stream.receive_end()
            case h2.events.StreamReset(stream_id=int(stream_id)):
                self._unread.pop(stream_id, None)
                if stream := self._streams.get(stream_id):
                    stream.disconnect()
                self._count_reset()
            case h2.events.WindowUpdated(stream_id=int(stream_id)) if stream_id:
                if stream := self._streams.get(stream_id):
                    stream.window_opened.set()
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                for stream in self._streams.values():
                    stream.window_opened.set()
            case h2.events.ConnectionTerminated():
                self._is_ending = True
                self._close_if_done()

    def _begin(self, stream_id: int, headers: list[tuple[bytes, bytes]]) -> None:
        # streams that the client has reset count until their work has ended
        if self._is_ending or len(self._streams) >= self._limits.streams_max:
            self.reset(stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
            return
        self._stop_idle_timer()
        stream = Http2Stream(self, stream_id, headers)
        self._streams[stream_id] = stream
        # owned by the listener, as the requests of uvicorn are
        task = self._loop.create_task(stream.run(self._app))
        self._listener.tasks.add(task)
        task.add_done_callback(lambda done: self._end(stream_id, done))

    def _end(self, stream_id: int, task: asyncio.Task[None]) -> None:
        self._listener.tasks.discard(task)
        stream = self._streams.pop(stream_id)
        stream.give_up_body()
        if task.cancelled():
            self.reset(stream_id, h2.errors.ErrorCodes.CANCEL)
        elif not stream.has_ended:
            self._unread[stream_id] = 0
        self.flush()
        self._close_if_done()
        if not self._streams:
            self._watch_idle()

    def _pass_over(self, stream_id: int, length: int) -> None:
        self.take_credit(stream_id, length)
        if stream_id in self._unread:
            self._unread[stream_id] += length
            if self._unread[stream_id] > UNREAD_BYTES_MAX:
                del self._unread[stream_id]
                self.reset(stream_id, h2.errors.ErrorCodes.NO_ERROR)  # RFC 9113, section 8.1

    def _count_reset(self) -> None:
        now = self._loop.time()
        self._resets = max(0.0, self._resets - (now - self._reset_at) * RESETS_PER_S) + 1
        self._reset_at = now
        if self._resets > RESETS_MAX and not self._transport.is_closing():
            self._connection.close_connection(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
            self.flush()
            self._close()

    # ---- the end

    def shutdown(self) -> None:
        """Take no more requests; close once those in progress are answered."""
        self._stop_idle_timer()
        if not self._is_ending and not self._transport.is_closing():
            self._is_ending = True
            # h2 takes a GOAWAY for the end of everything, so it is not asked to send this one
            frame = GoAwayFrame(0)
            frame.last_stream_id = self._connection.highest_inbound_stream_id
            self._transport.write(frame.serialize())
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._is_ending and not self._streams:
            self._close()

    def _close(self) -> None:
        if self._transport.is_closing():
            return
        self._stop_idle_timer()
        self._transport.close()
        # a client that reads nothing would keep what is written, and the connection, for ever
        self._idle_timer = self._loop.call_later(
            self._limits.stall_timeout_s, self._transport.abort
        )

    def _watch_idle(self) -> None:
        if not self._transport.is_closing():
            self._stop_idle_timer()
            self._idle_timer = self._loop.call_later(self._limits.idle_timeout_s, self.shutdown)

    def _stop_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    # ---- what streams ask for

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers that every answer has."""
        return self._listener.default_headers

    @property
    def transport(self) -> asyncio.Transport:
        """The socket."""
        return self._transport

    def flush(self) -> None:
        """Write what h2 has to say."""
        data = self._connection.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def send_headers(
        self, stream_id: int, headers: list[tuple[bytes, bytes]], *, end: bool
    ) -> None:
        """Send headers, or trailers."""
        self._connection.send_headers(stream_id, headers, end_stream=end)
        self.flush()

    async def send_data(self, stream: Http2Stream, data: bytes, *, end: bool) -> None:
        """Send a body at the pace of the client.

        Raises: ConnectionError if the client is gone, or takes nothing.
        """
        rest = memoryview(data)
        while rest:
            size = await self._room(stream)
            part, rest = rest[:size], rest[size:]
            self._connection.send_data(stream.id, bytes(part), end_stream=end and not rest)
            self.flush()
        if end and not data:
            self._connection.send_data(stream.id, b"", end_stream=True)
            self.flush()

    async def _room(self, stream: Http2Stream) -> int:
        """Wait until the client takes more. Returns: bytes, at least 1."""
        while True:
            stream.check_connected()
            stream.window_opened.clear()
            waiting_for = self._writable
            if self._writable.is_set():
                window = self._connection.local_flow_control_window(stream.id)
                if window > 0:
                    return min(window, self._connection.max_outbound_frame_size)
                waiting_for = stream.window_opened
            try:
                async with asyncio.timeout(self._limits.stall_timeout_s):
                    await waiting_for.wait()
            except TimeoutError:
                self._give_up(stream)

    def _give_up(self, stream: Http2Stream) -> None:
        if not self._writable.is_set():
            self._transport.abort()  # the client reads nothing at all
        self.reset(stream.id, h2.errors.ErrorCodes.CANCEL)
        stream.disconnect()

    def take_credit(self, stream_id: int, length: int) -> None:
        """Let the client send as much again as was taken of its body."""
        if length and not self._transport.is_closing():
            self._connection.acknowledge_received_data(length, stream_id)

    def reset(self, stream_id: int, code: h2.errors.ErrorCodes) -> None:
        """End a stream at once, if it has not ended."""
        try:
            self._connection.reset_stream(stream_id, code)
        except h2.exceptions.H2Error:
            return  # it has
        self.flush()
