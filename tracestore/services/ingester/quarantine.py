"""Where acknowledged requests are kept that the decoder refuses: a mistake of ours, not a loss."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from tracestore.errors import MalformedError, UnavailableError
from tracestore.services.ingester.head import Request
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import undecodable_key

log = logging.getLogger(__name__)


class Quarantine:
    """Keeps acknowledged requests that the decoder refuses although ``check`` let them pass."""

    def __init__(self, directory: Path, store: ObjectStore | None = None) -> None:
        """Args:
        directory: where they are kept, each in a file.
        store: where they are kept instead, for a process whose disk may be gone tomorrow.
        """
        self._directory = directory
        self._store = store
        self._kept = 0

    def keep(self, request: Request, error: MalformedError) -> None:
        """Write the bytes to a file or object of their own, and say so in the log."""
        self._kept += 1
        extra = {"offset": error.offset, "reason": error.reason}
        try:
            extra["file"] = self._write(request)
        except (OSError, UnavailableError) as failure:
            extra["error"] = str(failure)
        log.error("acknowledged request cannot be decoded", extra=extra)

    def _write(self, request: Request) -> str:
        """Keep the bytes. Returns: where. Raises: OSError, UnavailableError."""
        if self._store is not None:
            key = undecodable_key(hashlib.blake2b(request, digest_size=16).hexdigest())
            self._store.put(key, bytes(request))
            return key
        path = self._directory / f"undecodable-{id(request):x}-{self._kept}.otlp"
        self._directory.mkdir(parents=True, exist_ok=True)
        path.write_bytes(request)
        return str(path)
