"""The objects of the log in a store: a commit, the pointer, a checkpoint.

Source: docs/formats/index.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tracestore.errors import CorruptionError, NotFoundError
from tracestore.storage.index.blocklist import FORMAT_VERSION, BlockList, Commit, parse_object
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.layout import LATEST_KEY, checkpoint_key, commit_key

POINTER_READS = 8
"""Times that a checkpoint is looked for which others have replaced and deleted meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """What ``index/latest.json`` says."""

    checkpoint: int = 0
    """The newest checkpoint; 0: there is none."""
    earlier: tuple[int, ...] = ()
    """Checkpoints before it that are still there, the oldest first."""
    etag: str | None = None
    """None: there is no pointer."""

    def to_json(self) -> bytes:
        """Render the object."""
        values = {
            "checkpoint": self.checkpoint,
            "earlier": list(self.earlier),
            "format_version": FORMAT_VERSION,
        }
        return json.dumps(values, sort_keys=True).encode()


def read_commit(store: ObjectStore, sequence: int) -> Commit | None:
    """Read one commit; None if that number is not taken. Raises: CorruptionError."""
    key = commit_key(sequence)
    try:
        content = store.get(key)
    except NotFoundError:
        return None
    commit = Commit.from_json(content, key=key)
    if commit.sequence != sequence:
        raise CorruptionError(f"index commit says that it is {commit.sequence}", key=key)
    return commit


def read_latest(store: ObjectStore) -> Pointer:
    """Read the pointer. Raises: CorruptionError."""
    try:
        content, etag = store.get_with_etag(LATEST_KEY)
    except NotFoundError:
        return Pointer()
    values = parse_object(content, key=LATEST_KEY)
    checkpoint, earlier = values.get("checkpoint"), values.get("earlier", [])
    if not isinstance(checkpoint, int) or checkpoint < 1:
        raise CorruptionError(f"index pointer holds {checkpoint!r}", key=LATEST_KEY)
    if not isinstance(earlier, list) or not all(_is_before(one, checkpoint) for one in earlier):
        raise CorruptionError(f"index pointer holds {earlier!r}", key=LATEST_KEY)
    return Pointer(checkpoint=checkpoint, earlier=tuple(earlier), etag=etag)


def read_checkpoint(store: ObjectStore, sequence: int) -> BlockList:
    """Read one checkpoint. Raises: NotFoundError, CorruptionError."""
    key = checkpoint_key(sequence)
    blocks = BlockList.from_json(store.get(key), key=key)
    if blocks.sequence != sequence:
        raise CorruptionError(f"index checkpoint says that it is {blocks.sequence}", key=key)
    return blocks


def read_newest_checkpoint(store: ObjectStore, after: int = 0) -> BlockList | None:
    """Read the checkpoint that the pointer names; None if it is not after ``after``.

    Raises: CorruptionError, also if it is not there.
    """
    missing = 0
    for _ in range(POINTER_READS):
        checkpoint = read_latest(store).checkpoint
        if checkpoint <= after:
            return None
        if checkpoint == missing:
            break
        try:
            return read_checkpoint(store, checkpoint)
        except NotFoundError:
            missing = checkpoint
    raise CorruptionError("the index has lost its checkpoint", key=checkpoint_key(missing))


def write_checkpoint(store: ObjectStore, blocks: BlockList, now_ns: int, *, kept: int) -> int:
    """Write a checkpoint and let the pointer name it, unless it names a newer one.

    Args:
        kept: checkpoints that stay; what is older is deleted.

    Returns: the sequence that the pointer names now.
    Raises: ConflictError if somebody else moved the pointer meanwhile; UnavailableError: then it
        may have moved, or old checkpoints may have stayed for ever.
    """
    latest = read_latest(store)
    if latest.checkpoint >= blocks.sequence:
        return latest.checkpoint
    store.put(checkpoint_key(blocks.sequence), blocks.to_json(time_ns=now_ns))
    before = (*latest.earlier, latest.checkpoint) if latest.checkpoint else ()
    first_kept = max(0, len(before) - max(kept - 1, 0))
    pointer = Pointer(checkpoint=blocks.sequence, earlier=before[first_kept:])
    if latest.etag is None:
        store.put_if_absent(LATEST_KEY, pointer.to_json())
    else:
        store.put_if_match(LATEST_KEY, pointer.to_json(), latest.etag)
    if outdated := [checkpoint_key(sequence) for sequence in before[:first_kept]]:
        store.delete_many(outdated)
    return blocks.sequence


def _is_before(value: object, checkpoint: int) -> bool:
    return isinstance(value, int) and 0 < value < checkpoint
