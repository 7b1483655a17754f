"""The key of every object: the one place that knows how the bucket is laid out.

::

    blocks/<tenant>/<block id>/<name>         tables, filters, meta.json (written last)
    index/<20-digit sequence>.json            one commit
    index/checkpoints/<20-digit sequence>.json  the log folded up to that commit
    index/latest.json                         which checkpoint is the newest
    leases/<name>.json                        who does a piece of work, and until when
    overrides/<tenant>/overrides.json         what a tenant has set for itself
    dropped/<tenant>/<20-digit ns>-<block id>.parquet  traces that sampling has dropped of a head
    pins/<tenant>/<trace id in hex>.json      a trace that stays whatever its age
    wal/<writer id>/<20-digit number>.wal     a group commit of a log in the bucket, or its end
    wal-quarantine/<writer id>/<number>-<offset>.bin  bytes of a log that nobody could read
"""

from __future__ import annotations

import re

from tracestore.model.ids import BlockId, TenantId, WriterId

BLOCKS_PREFIX = "blocks/"
DROPPED_PREFIX = "dropped/"
INDEX_PREFIX = "index/"
CHECKPOINTS_PREFIX = "index/checkpoints/"
LATEST_KEY = "index/latest.json"
LEASES_PREFIX = "leases/"
USER_OVERRIDES_PREFIX = "overrides/"
WAL_PREFIX = "wal/"
META_NAME = "meta.json"
"""Written after the other objects of a block, so that its presence says that they are there."""

SEQUENCE_MAX = 10**20 - 1

_COMMIT_KEY = re.compile(r"index/([0-9]{20})\.json")
_CHECKPOINT_KEY = re.compile(r"index/checkpoints/([0-9]{20})\.json")
_USER_OVERRIDES_KEY = re.compile(r"overrides/([^/]+)/overrides\.json")
_WAL_KEY = re.compile(r"wal/([0-9a-f-]{36})/([0-9]{20})\.wal")
_PIN_KEY = re.compile(r"pins/([^/]+)/([0-9a-f]{32})\.json")
_DROPPED_KEY = re.compile(r"dropped/([^/]+)/([0-9]{20})-([0-9a-f-]{36})\.parquet")
_BLOCK_KEY = re.compile(r"blocks/([^/]+)/([^/]+)/[^/]+")
_META_KEY = re.compile(r"blocks/([^/]+)/([^/]+)/meta\.json")


def block_prefix(tenant: TenantId, block: BlockId) -> str:
    """Return the prefix of all objects of a block."""
    return f"{BLOCKS_PREFIX}{tenant}/{block}/"


def block_key(tenant: TenantId, block: BlockId, name: str) -> str:
    """Return the key of one object of a block, for example ``spans.parquet``."""
    return f"{BLOCKS_PREFIX}{tenant}/{block}/{name}"


def meta_key(tenant: TenantId, block: BlockId) -> str:
    """Return the key of a block's ``meta.json``."""
    return block_key(tenant, block, META_NAME)


def commit_key(sequence: int) -> str:
    """Return the key of a commit; digits are padded so that byte order is numeric order."""
    assert 0 < sequence <= SEQUENCE_MAX
    return f"{INDEX_PREFIX}{sequence:020d}.json"


def checkpoint_key(sequence: int) -> str:
    """Return the key of the checkpoint that holds the commits up to ``sequence``."""
    assert 0 < sequence <= SEQUENCE_MAX
    return f"{CHECKPOINTS_PREFIX}{sequence:020d}.json"


def parse_commit_key(key: str) -> int | None:
    """Return the sequence of a commit's key, None for any other key."""
    match = _COMMIT_KEY.fullmatch(key)
    return int(match[1]) if match else None


def parse_checkpoint_key(key: str) -> int | None:
    """Return the sequence of a checkpoint's key, None for any other key."""
    match = _CHECKPOINT_KEY.fullmatch(key)
    return int(match[1]) if match else None


def parse_meta_key(key: str) -> tuple[TenantId, BlockId] | None:
    """Return tenant and block of a ``meta.json`` key, None for any other key."""
    match = _META_KEY.fullmatch(key)
    return (TenantId(match[1]), BlockId(match[2])) if match else None


def lease_key(name: str) -> str:
    """Return the key of a lease."""
    return f"{LEASES_PREFIX}{name}.json"


def parse_block_key(key: str) -> tuple[TenantId, BlockId] | None:
    """Return tenant and block of an object of a block, None for any other key."""
    match = _BLOCK_KEY.fullmatch(key)
    return (TenantId(match[1]), BlockId(match[2])) if match else None


def pins_prefix(tenant: TenantId) -> str:
    """Return the prefix of all pins of a tenant."""
    return f"pins/{tenant}/"


def pin_key(tenant: TenantId, trace_id: bytes) -> str:
    """Return the key of a pin."""
    return f"pins/{tenant}/{trace_id.hex()}.json"


def parse_pin_key(key: str) -> tuple[TenantId, bytes] | None:
    """Return tenant and trace ID of a pin's key, None for any other key."""
    match = _PIN_KEY.fullmatch(key)
    return (TenantId(match[1]), bytes.fromhex(match[2])) if match else None


def dropped_prefix(tenant: TenantId) -> str:
    """Return the prefix of what sampling has dropped of a tenant."""
    return f"{DROPPED_PREFIX}{tenant}/"


def dropped_key(tenant: TenantId, decided_ns: int, block: BlockId) -> str:
    """Return the key of what was dropped of a head; keys sort by time."""
    return f"{DROPPED_PREFIX}{tenant}/{decided_ns:020d}-{block}.parquet"


def parse_dropped_key(key: str) -> tuple[TenantId, int] | None:
    """Return tenant and time of the decision of such a key, None for any other key."""
    match = _DROPPED_KEY.fullmatch(key)
    return (TenantId(match[1]), int(match[2])) if match else None


def user_overrides_key(tenant: TenantId) -> str:
    """Return the key of what a tenant has set for itself."""
    return f"{USER_OVERRIDES_PREFIX}{tenant}/overrides.json"


def parse_user_overrides_key(key: str) -> TenantId | None:
    """Return the tenant of such a key, None for any other key."""
    match = _USER_OVERRIDES_KEY.fullmatch(key)
    return TenantId(match[1]) if match else None


def wal_prefix(writer: WriterId) -> str:
    """Return the prefix of all objects of a log."""
    return f"{WAL_PREFIX}{writer}/"


def wal_key(writer: WriterId, number: int) -> str:
    """Return the key of an object of a log; numbers begin with 1 and have no gaps."""
    assert 0 < number <= SEQUENCE_MAX
    return f"{WAL_PREFIX}{writer}/{number:020d}.wal"


def parse_wal_key(key: str) -> tuple[WriterId, int] | None:
    """Return writer and number of an object of a log, None for any other key."""
    match = _WAL_KEY.fullmatch(key)
    return (WriterId(match[1]), int(match[2])) if match else None


def wal_quarantine_key(writer: WriterId, number: int, offset: int) -> str:
    """Return where the bytes of a log that could not be read are kept."""
    return f"wal-quarantine/{writer}/{number:020d}-{offset}.bin"


def undecodable_key(digest: str) -> str:
    """Return where an acknowledged request is kept that the decoder refuses."""
    return f"wal-quarantine/undecodable/{digest}.otlp"


def is_immutable(key: str) -> bool:
    """Tell whether an object never changes once it is there: tables and filters of a block."""
    return key.startswith(BLOCKS_PREFIX) and key.endswith((".parquet", "/filters"))
