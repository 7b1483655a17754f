"""The object that ends a log in the bucket: who took the log over, and as of which epoch.

It stands under the first number that the log has not used. Its writer cannot use that number any
more, and so knows at its next put that it was declared dead.

Source: docs/formats/wal.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

MAGIC = b"TSWALEND"
"""As long as the magic of a segment, which starts every other object of a log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """Says that a log has ended."""

    owner: str
    """The writer that answers for the log now."""
    epoch: int

    def to_bytes(self) -> bytes:
        """Render the object."""
        values = {"owner": self.owner, "epoch": self.epoch}
        return MAGIC + json.dumps(values, separators=(",", ":"), sort_keys=True).encode()


def is_tombstone(content: bytes) -> bool:
    """Tell a tombstone from records."""
    return content.startswith(MAGIC)
