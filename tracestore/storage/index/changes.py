"""What somebody wants of the index, and what a list says to it: done, to do, or refused.

Pure. Making it happen is ``commits.py``.

Source: docs/formats/index.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from tracestore.errors import ConflictError, OutdatedBlockError
from tracestore.model.block_meta import BlockMeta
from tracestore.storage.index.blocklist import BlockList, BlockRef, ref_of
from tracestore.storage.index.writers import NO_CHANGE, Fence, WriterChange, check_fence


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a caller wants of the index. To repeat it after an error, pass the same value again.

    Made twice it happens once, by its ID and by its blocks: a block's ID is born once, so adding a
    block that is, or was, in the list is done already.
    """

    id: str
    add: tuple[BlockMeta, ...] = ()
    remove: tuple[BlockRef, ...] = ()
    forget: tuple[BlockRef, ...] = ()
    writers: WriterChange = NO_CHANGE
    fence: Fence | None = None
    """The change is refused unless this writer is in the index with this epoch."""
    floor_ns: int = 0
    """Blocks written before it that are not known are not added any more, by whomever."""


def fits(blocks: BlockList, change: Change) -> bool:
    """Tell whether all of a change is still to do and may be done, by what a list shows."""
    if is_done(blocks, change):
        return False
    try:
        settle(blocks, change)
    except ConflictError:
        return False
    return True


def settle(blocks: BlockList, change: Change) -> tuple[tuple[BlockMeta, ...], tuple[BlockRef, ...]]:
    """Return what of a change is still to do, or refuse it.

    Raises: FencedError if the fence does not hold; OutdatedBlockError if a block to add was written
        too long ago; ConflictError if a block to add is there with other content, or a block to
        remove is not there, or the writers are not as expected: whoever planned it did not know
        the list as it is.
    """
    check_fence(blocks.writers, change.fence)
    change.writers.check(blocks.writers)
    add = []
    for meta in change.add:
        known = _find_ever(blocks, ref_of(meta))
        if known is not None and known != meta:
            raise ConflictError(
                f"block {meta.id} of tenant {meta.tenant} is in the index with other content"
            )
        if known is None:
            if meta.created_ns < blocks.floor_ns:
                raise OutdatedBlockError(
                    f"block {meta.id} of tenant {meta.tenant} was written too long ago to be "
                    "committed: its objects may be gone"
                )
            add.append(meta)
    for ref in change.remove:
        if blocks.find(ref) is None:
            raise ConflictError(
                f"block {ref.id} of tenant {ref.tenant} is not in the index (any more)"
            )
    return tuple(add), change.remove


def is_done(blocks: BlockList, change: Change) -> bool:
    """Tell whether the list shows that a change has happened: nothing of it is left to do.

    Every block to add is or was there as it is now, and every block to remove was there and is not.
    """
    if any(_find_ever(blocks, ref_of(meta)) != meta for meta in change.add):
        return False
    if any(ref not in blocks.removed or blocks.find(ref) is not None for ref in change.remove):
        return False
    if any(ref in blocks.removed for ref in change.forget):
        return False
    return change.writers.is_done(blocks.writers) and blocks.floor_ns >= change.floor_ns


def _find_ever(blocks: BlockList, ref: BlockRef) -> BlockMeta | None:
    """Return the meta of a block that is in the list or is remembered as removed."""
    removed = blocks.removed.get(ref)
    return blocks.find(ref) if removed is None else removed.meta
