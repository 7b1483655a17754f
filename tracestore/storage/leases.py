"""Leases in the bucket: one holder at a time for a piece of work, by conditional writes alone.

A lease is an object that its holder rewrites now and then. Somebody else may take it once its
content has not changed for the whole term, by the clock of who waits: no two clocks are compared,
only their rates have to be alike. Each change of hands makes the token grow.

A lease is not proof: a process that was paused learns too late that it lost it. What it does must
be refused by other means, the fence of an index commit, or inputs that are no longer there.

Source: docs/formats/index.md.
"""

from __future__ import annotations

import json
import random
import threading
from dataclasses import dataclass, replace

from tracestore.clock import Clock
from tracestore.errors import ConflictError, CorruptionError, NotFoundError
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import lease_key

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """What the object says."""

    holder: str
    token: int
    ttl_s: float
    nonce: int
    """Makes every writing another one, so that its etag changes."""
    is_free: bool = False

    def to_json(self) -> bytes:
        values = {
            "format_version": FORMAT_VERSION,
            "holder": self.holder,
            "token": self.token,
            "ttl_s": self.ttl_s,
            "nonce": self.nonce,
            "is_free": self.is_free,
        }
        return json.dumps(values, sort_keys=True).encode()

    @classmethod
    def from_json(cls, content: bytes, *, key: str) -> _Content:
        try:
            values = json.loads(content)
            return cls(
                holder=str(values["holder"]),
                token=int(values["token"]),
                ttl_s=float(values["ttl_s"]),
                nonce=int(values["nonce"]),
                is_free=bool(values["is_free"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptionError(f"lease is not valid ({error!r})", key=key) from error


@dataclass(frozen=True, slots=True)
class _Sight:
    """A content that somebody else wrote, and since when it is known here."""

    etag: str
    since_ns: int


class Lease:
    """A lease that was taken by this process. Thread-safe.

    States: held -> lost or released. It is held until the term after the last renewal *began*.
    """

    def __init__(self, store: LeaseStore, name: str, content: _Content, etag: str, at_ns: int):
        self._store = store
        self._content = content
        self._etag = etag
        self._renewed_ns = at_ns
        self._is_over = False
        self._lock = threading.Lock()
        self.name = name

    @property
    def token(self) -> int:
        """Greater than that of every holder before."""
        return self._content.token

    @property
    def is_held(self) -> bool:
        """Whether nobody else can have taken it yet, by the own clock."""
        return self.remaining_s > 0

    @property
    def remaining_s(self) -> float:
        """How long it is still held if it is not renewed."""
        if self._is_over:
            return 0.0
        passed_s = (self._store.now_ns() - self._renewed_ns) / 1e9
        return max(0.0, self._content.ttl_s - passed_s)

    def renew(self) -> bool:
        """Begin the term anew. Returns: whether it is still this process's; if not, it is over.

        Raises: UnavailableError; it is held until its term ends, and may be renewed again.
        """
        with self._lock:
            if self._is_over:
                return False
            renewed = self._store.replace(self.name, self._content, self._etag)
            if renewed is None:
                self._is_over = True
                return False
            self._content, self._etag, self._renewed_ns = renewed
            return True

    def release(self) -> None:
        """Let others have it at once. Harmless if it was lost. Raises: UnavailableError."""
        with self._lock:
            if not self._is_over:
                self._is_over = True
                self._store.replace(self.name, self._content, self._etag, is_free=True)


class LeaseStore:
    """The leases of a bucket, as one process sees them. Thread-safe."""

    def __init__(
        self, store: ObjectStore, clock: Clock, rng: random.Random, *, holder: str
    ) -> None:
        """Args:
        holder: host and process, for people.
        rng: makes contents differ.
        """
        self._store = store
        self._clock = clock
        self._rng = rng
        self._holder = holder
        self._lock = threading.Lock()
        self._seen: dict[str, _Sight] = {}

    def now_ns(self) -> int:
        """Read the clock that terms are measured with."""
        return self._clock.monotonic_ns()

    def acquire(self, name: str, ttl_s: float) -> Lease | None:
        """Take a lease if it is free, or its holder has not renewed it for a whole term.

        The first call that meets a holder only begins to wait: ask again until the term is over.

        Args:
            name: letters, digits, ``-``, ``_``, ``.`` and ``/``.
            ttl_s: the term; a holder should renew three times in it.

        Returns: None if somebody else has it.
        Raises: UnavailableError, CorruptionError.
        """
        key = lease_key(name)
        at_ns = self.now_ns()
        try:
            content, etag = self._store.get_with_etag(key)
        except NotFoundError:
            return self._take(name, self._content(1, ttl_s), None, at_ns)
        known = _Content.from_json(content, key=key)
        if not known.is_free and not self._is_over(name, etag, max(ttl_s, known.ttl_s)):
            return None
        return self._take(name, self._content(known.token + 1, ttl_s), etag, at_ns)

    def _content(self, token: int, ttl_s: float) -> _Content:
        nonce = self._rng.getrandbits(53)
        return _Content(holder=self._holder, token=token, ttl_s=ttl_s, nonce=nonce)

    def _is_over(self, name: str, etag: str, ttl_s: float) -> bool:
        """Tell whether a content has been seen unchanged for a whole term."""
        now_ns = self.now_ns()
        with self._lock:
            sight = self._seen.get(name)
            if sight is None or sight.etag != etag:
                self._seen[name] = _Sight(etag, now_ns)
                return False
            return now_ns - sight.since_ns > int(ttl_s * 1e9)

    def _take(self, name: str, content: _Content, etag: str | None, at_ns: int) -> Lease | None:
        written = self._write(lease_key(name), content, etag)
        with self._lock:
            self._seen.pop(name, None)
        return None if written is None else Lease(self, name, content, written, at_ns)

    def replace(
        self, name: str, content: _Content, etag: str, *, is_free: bool = False
    ) -> tuple[_Content, str, int] | None:
        """Write the own lease anew. Returns: content, etag and when it began; None: it was lost."""
        at_ns = self.now_ns()
        new = replace(self._content(content.token, content.ttl_s), is_free=is_free)
        written = self._write(lease_key(name), new, etag)
        if written is None:
            # an earlier renewal may have happened without an answer, and moved the etag on
            moved = self._etag_of(name, content)
            written = None if moved is None else self._write(lease_key(name), new, moved)
        return None if written is None else (new, written, at_ns)

    def _etag_of(self, name: str, own: _Content) -> str | None:
        """Return the etag of the lease if it is still the own one: each taking has its token."""
        key = lease_key(name)
        try:
            content, etag = self._store.get_with_etag(key)
        except NotFoundError:
            return None
        known = _Content.from_json(content, key=key)
        is_own = (known.token, known.holder) == (own.token, own.holder)
        return etag if is_own and not known.is_free else None

    def _write(self, key: str, content: _Content, etag: str | None) -> str | None:
        """Write a content. Returns: its etag, None if somebody else was first."""
        raw = content.to_json()
        try:
            if etag is None:
                return self._store.put_if_absent(key, raw)
            return self._store.put_if_match(key, raw, etag)
        except ConflictError:
            return self._own_write(key, raw)

    def _own_write(self, key: str, raw: bytes) -> str | None:
        """See whether a lost race was lost to the own write, whose answer did not come."""
        try:
            content, etag = self._store.get_with_etag(key)
        except NotFoundError:
            return None
        return etag if content == raw else None
