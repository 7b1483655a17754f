"""A proxy in front of an HTTP server that answers with errors, waits, and breaks connections.

It looks at the first bytes of each request only. A request may be refused before the server sees it
(503, or a reset), or done and its answer lost (a reset behind it): the second kind is what makes
stores lie about what they hold.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

METHODS = (b"GET ", b"PUT ", b"POST ", b"HEAD ", b"DELETE ")
SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>"
)
REFUSAL = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(SLOW_DOWN), SLOW_DOWN)
)


@dataclass
class Faults:
    """How often what happens to a request; may be changed at any time."""

    refuse: float = 0.0
    """Share that is answered with 503."""
    reset: float = 0.0
    """Share whose connection breaks before the server sees them."""
    lose: float = 0.0
    """Share that the server does and whose answer never comes."""
    delay: float = 0.0
    """Share that waits."""
    delay_s: float = 1.0
    done: Counter[str] = field(default_factory=Counter)
    """How many of each kind there were."""


class FaultProxy:
    """Runs in a thread of its own."""

    def __init__(self, upstream: str, faults: Faults, seed: int) -> None:
        host, _, port = upstream.rpartition(":")
        self._upstream = host, int(port)
        self._faults = faults
        self._rng = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.endpoint = ""
        """host:port"""

    def start(self) -> None:
        """Listen on a free port."""
        self._thread.start()
        assert self._started.wait(10)

    def stop(self) -> None:
        """Break all connections."""
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _serve(self) -> None:
        self._loop.run_until_complete(self._listen())
        self._loop.close()

    async def _listen(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.endpoint = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._started.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        except OSError:
            writer.close()
            return
        connection = _Connection(writer)
        answers = asyncio.ensure_future(_pump(up_reader, connection))
        try:
            while data := await reader.read(1 << 16):
                if data.startswith(METHODS) and not await self._let_through(connection):
                    break
                up_writer.write(data)
                await up_writer.drain()
        except (OSError, asyncio.CancelledError):
            pass  # the end of the connection is what this is about
        finally:
            if connection.loses:
                await asyncio.wait([answers], timeout=1.0)  # the server does what it was asked
            answers.cancel()
            for end in (writer, up_writer):
                end.transport.abort()

    async def _let_through(self, connection: _Connection) -> bool:
        """Do something to a request, or nothing. Returns: whether the server gets it."""
        faults, draw = self._faults, self._rng.random()
        if self._rng.random() < faults.delay:
            faults.done["delay"] += 1
            await asyncio.sleep(self._rng.uniform(0, 2 * faults.delay_s))
        if draw < faults.refuse:
            faults.done["refuse"] += 1
            connection.writer.write(REFUSAL)
            await connection.writer.drain()
            return False
        if draw < faults.refuse + faults.reset:
            faults.done["reset"] += 1
            return False
        if draw < faults.refuse + faults.reset + faults.lose:
            faults.done["lose"] += 1
            connection.loses = True
        return True


@dataclass
class _Connection:
    writer: asyncio.StreamWriter
    loses: bool = False


async def _pump(reader: asyncio.StreamReader, connection: _Connection) -> None:
    """Hand answers on, until one is lost: then the connection breaks."""
    while data := await reader.read(1 << 16):
        if connection.loses:
            break
        connection.writer.write(data)
        await connection.writer.drain()
    connection.writer.transport.abort()


@contextmanager
def running_proxy(upstream: str, faults: Faults, seed: int = 1) -> Iterator[FaultProxy]:
    """Run a proxy in front of a server.

    Args:
        upstream: host:port.
    """
    proxy = FaultProxy(upstream, faults, seed)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
