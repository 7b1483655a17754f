"""Looks whether an index is whole, and whether the bucket holds what it says. Only reads.

Source: docs/formats/index.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tracestore.errors import CorruptionError, NotFoundError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import WriterId
from tracestore.storage.index.blocklist import BlockList
from tracestore.storage.index.objects import (
    Pointer,
    read_checkpoint,
    read_commit,
    read_latest,
)
from tracestore.storage.index.writers import Writer
from tracestore.storage.objects.interface import ObjectInfo, ObjectStore
from tracestore.storage.objects.layout import (
    BLOCKS_PREFIX,
    INDEX_PREFIX,
    LATEST_KEY,
    META_NAME,
    WAL_PREFIX,
    block_prefix,
    checkpoint_key,
    commit_key,
    parse_checkpoint_key,
    parse_commit_key,
    parse_wal_key,
)

FOLDED_FROM_START_MAX = 1000
"""Commits of a log that is so short that its oldest checkpoint is compared too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that is not as it has to be."""

    key: str
    """The object."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWriter:
    """A writer and what lies in the bucket of its log."""

    writer: Writer
    wal_objects: int = 0
    wal_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What was found."""

    sequence: int
    """The last commit that could be read on from the start."""
    checkpoint: int
    blocks: int
    block_bytes: int
    removed: int
    """Blocks that were removed and whose objects wait for their deletion."""
    removed_bytes: int
    writers: tuple[OpenWriter, ...]
    orphans: tuple[ObjectInfo, ...]
    """Objects that nothing refers to: left by whoever died, or just being written."""
    problems: tuple[Problem, ...]

    @property
    def orphan_bytes(self) -> int:
        """Their size."""
        return sum(orphan.bytes for orphan in self.orphans)


def check_index(store: ObjectStore) -> CheckReport:
    """Check the log, then the objects of every block in the list.

    Others may go on meanwhile. Raises: UnavailableError.
    Cost: lists ``index/``, ``blocks/`` and ``wal/``; reads the checkpoints that are kept and the
        commits since the oldest of them.
    """
    log = _LogCheck(store)
    blocks = log.run()
    objects = {info.key: info for info in store.list(BLOCKS_PREFIX)}
    problems = list(log.problems)
    live = [meta for metas in blocks.tenants.values() for meta in metas]
    for meta in live:
        problems += _check_block(store, meta, objects)
    removed = [removed.meta for removed in blocks.removed.values()]
    known = {block_prefix(meta.tenant, meta.id) for meta in (*live, *removed)}
    logs = _logs(store)
    orphans = [info for key, info in objects.items() if _prefix_of(key) not in known]
    orphans += [i for id, held in logs.items() if id not in blocks.writers for i in held]
    return CheckReport(
        sequence=blocks.sequence,
        checkpoint=log.pointer.checkpoint,
        blocks=len(live),
        block_bytes=sum(meta.stored_bytes for meta in live),
        removed=len(removed),
        removed_bytes=sum(meta.stored_bytes for meta in removed),
        writers=tuple(_open_writers(blocks, logs)),
        orphans=(*log.left_over, *orphans),
        problems=tuple(problems),
    )


class _LogCheck:
    """Reads the log and keeps what is wrong with it."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.problems: list[Problem] = []
        self.pointer = Pointer()
        self.left_over: list[ObjectInfo] = []

    def run(self) -> BlockList:
        """Check it. Returns: the list, as far as it can be made."""
        try:
            self.pointer = read_latest(self._store)
        except CorruptionError as error:
            self._note(LATEST_KEY, str(error))
        commits: set[int] = set()
        checkpoints: dict[int, ObjectInfo] = {}
        for info in self._store.list(INDEX_PREFIX):
            if (number := parse_commit_key(info.key)) is not None:
                commits.add(number)
            elif (number := parse_checkpoint_key(info.key)) is not None:
                checkpoints[number] = info
            elif info.key != LATEST_KEY:
                self._note(info.key, "is no object of an index")
        named = {*self.pointer.earlier, self.pointer.checkpoint} - {0}
        self.left_over = [info for number, info in checkpoints.items() if number not in named]
        if self.pointer.checkpoint and self.pointer.checkpoint not in checkpoints:
            self._note(checkpoint_key(self.pointer.checkpoint), "the newest checkpoint is missing")
        for number in range(1, max(commits | checkpoints.keys(), default=0) + 1):
            if number not in commits:
                self._note(commit_key(number), "the commit is missing")
        blocks = self._fold(sorted(checkpoints.keys() & named))
        self._forgive(commits)
        return blocks

    def _forgive(self, commits: set[int]) -> None:
        """Forget what is wrong with commits before the last rebuild: nobody reads them."""
        numbers = {problem.key: parse_commit_key(problem.key) for problem in self.problems}
        wrong = [number for number in numbers.values() if number is not None]
        if not wrong:
            return
        rebuilt = max(self._rebuilds(n for n in commits if n > min(wrong)), default=0)
        self.problems = [
            problem for problem in self.problems if (numbers[problem.key] or rebuilt) >= rebuilt
        ]

    def _rebuilds(self, numbers: Iterator[int]) -> Iterator[int]:
        """Return which commits begin the log anew."""
        for number in numbers:
            try:
                commit = read_commit(self._store, number)
            except CorruptionError:
                continue  # noted, if it matters, when it is folded
            if commit is not None and commit.reset:
                yield number

    def _fold(self, checkpoints: list[int]) -> BlockList:
        """Fold the log from its oldest checkpoint; each later one has to say the same."""
        blocks = BlockList()
        for number in checkpoints:
            checkpoint = self._read_checkpoint(number)
            if checkpoint is None:
                continue
            if blocks.sequence or number <= FOLDED_FROM_START_MAX:
                folded = self._follow(blocks, until=number)
                if folded.sequence == number and folded != checkpoint:
                    self._note(checkpoint_key(number), "is not what the commits add up to")
            blocks = checkpoint
        return self._follow(blocks, until=None)

    def _follow(self, blocks: BlockList, *, until: int | None) -> BlockList:
        commits = []
        sequence = blocks.sequence
        while until is None or sequence < until:
            try:
                commit = read_commit(self._store, sequence + 1)
            except CorruptionError as error:
                if until is None or blocks.sequence:
                    self._note(commit_key(sequence + 1), str(error))
                break  # before the first checkpoint that is kept nobody reads it
            if commit is None:
                break
            commits.append(commit)
            sequence += 1
        return blocks.apply_all(commits)

    def _read_checkpoint(self, number: int) -> BlockList | None:
        try:
            return read_checkpoint(self._store, number)
        except NotFoundError:
            return None  # replaced meanwhile, or noted
        except CorruptionError as error:
            self._note(checkpoint_key(number), str(error))
            return None

    def _note(self, key: str, text: str) -> None:
        if not any(problem.key == key for problem in self.problems):
            text = text.removesuffix(f": {key}")  # as errors end
            self.problems.append(Problem(key=key, text=text))


def _check_block(
    store: ObjectStore, meta: BlockMeta, objects: Mapping[str, ObjectInfo]
) -> Iterator[Problem]:
    """Yield what is wrong with the objects of a block."""
    prefix = block_prefix(meta.tenant, meta.id)
    for name, size in {**meta.object_bytes, META_NAME: None}.items():
        key = prefix + name
        info = objects.get(key) or _look_again(store, key)
        if info is None:
            yield Problem(key=key, text="the object is missing")
        elif size is not None and info.bytes != size:
            yield Problem(key=key, text=f"the object has {info.bytes} bytes and not {size}")


def _look_again(store: ObjectStore, key: str) -> ObjectInfo | None:
    try:
        return store.head(key)
    except NotFoundError:
        return None


def _logs(store: ObjectStore) -> dict[WriterId, list[ObjectInfo]]:
    """Return the objects of the logs in the bucket by their writers."""
    logs: dict[WriterId, list[ObjectInfo]] = {}
    for info in store.list(WAL_PREFIX):
        if (parsed := parse_wal_key(info.key)) is not None:
            logs.setdefault(parsed[0], []).append(info)
    return logs


def _open_writers(
    blocks: BlockList, logs: Mapping[WriterId, list[ObjectInfo]]
) -> Iterator[OpenWriter]:
    for id, writer in sorted(blocks.writers.items()):
        held = logs.get(id, [])
        yield OpenWriter(
            writer=writer, wal_objects=len(held), wal_bytes=sum(info.bytes for info in held)
        )


def _prefix_of(key: str) -> str:
    """Return the prefix of the block that an object lies in."""
    return "/".join(key.split("/")[:3]) + "/"
