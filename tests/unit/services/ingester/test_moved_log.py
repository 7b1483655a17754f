import asyncio
import json
from pathlib import Path

import pytest
from support.bucket_nodes import SHOP, Node

from tracestore.errors import SettingsError
from tracestore.model.ids import WriterId
from tracestore.services.ingester.moved_log import MovedLog
from tracestore.services.ingester.own_writer import NAME
from tracestore.storage.index.writers import WalHome, Writer, WriterChange
from tracestore.storage.objects.memory import MemoryObjectStore

BEFORE = WriterId("0193a000-0000-7000-8000-000000000001")


@pytest.fixture
def node(tmp_path: Path):  # type: ignore[no-untyped-def]
    made = Node(MemoryObjectStore(), tmp_path, "one", 1)
    yield made
    made.dispose()


def moved(node: Node, directory: Path) -> MovedLog:
    index = node.pools[0]
    return MovedLog(directory, node.follower, node.own, index, flush_all=node.ingester.flush_all)


def test_the_writer_of_the_disk_is_closed_once_blocks_hold_its_spans(
    node: Node, tmp_path: Path
) -> None:
    (tmp_path / NAME).write_text(json.dumps({"writer": BEFORE}))
    disk = Writer(id=BEFORE, instance="one", address="", wal=WalHome.DISK, owner=BEFORE)

    async def scenario() -> None:
        await node.start()
        node.follower.commit(node.follower.new_change(writers=WriterChange(open=(disk,))))
        await node.append(SHOP, 1)  # stands for what the replay has found
        await moved(node, tmp_path).start()

    asyncio.run(scenario())
    current = node.follower.current()
    assert [meta.spans for meta in current.blocks(SHOP)] == [1]
    assert set(current.writers) == {node.writer.id}
    assert not (tmp_path / NAME).exists()


def test_without_a_log_on_disk_nothing_is_done(node: Node, tmp_path: Path) -> None:
    async def scenario() -> None:
        await node.start()
        await node.append(SHOP, 1)
        await moved(node, tmp_path).start()

    asyncio.run(scenario())
    assert not node.follower.current().blocks(SHOP)


def test_a_file_that_says_nothing_stops_the_start(node: Node, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("{}")
    with pytest.raises(SettingsError, match=NAME):
        asyncio.run(moved(node, tmp_path).start())
