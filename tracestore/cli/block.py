"""``tracestore block``: lists the blocks, shows what is in one, reads them whole to verify them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence

from tracestore.cli.block_report import (
    inspection_json,
    meta_json,
    show_blocks,
    show_inspection,
    show_verified,
    verified_json,
)
from tracestore.cli.blocks import blocks_of, each, find_block, output_of, read_index
from tracestore.cli.opening import WHERE_USAGE, open_bucket, parse_where, read_settings
from tracestore.cli.screen import Screen
from tracestore.cli.subcommands import run_subcommand
from tracestore.errors import SettingsError
from tracestore.model.block_meta import BlockMeta
from tracestore.settings.client import read_client_environment
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.columns import filters_bytes, table_sizes
from tracestore.storage.block.reader import BlockReader
from tracestore.storage.block.verify import verify_block
from tracestore.storage.objects.interface import ObjectStore

USAGE = f"""\
usage: tracestore block ls            [flags]
       tracestore block inspect ID    [flags]
       tracestore block verify [ID …] [flags]

ls: the blocks in the index, newest first, with level, times, spans, traces and bytes.

inspect: the tables of a block, their columns with types, bytes and different values, row groups.
The beginning of an ID is enough.

verify: reads blocks whole: objects and their sizes, checksums, row counts, the order of rows, what
refers to what between the tables, nested sets, roots. All blocks if none is named. Exit code 1 if
something is wrong.

They only read, while servers run or not.

  --tenant NAME          blocks of one tenant
  --fast                 inspect: footers and filters only; not all different values are counted
{WHERE_USAGE}  --output FORMAT        text, json [text]; --json is the same as --output=json
"""
CACHE_BYTES = 256 << 20


class _Call:
    """The flags of a command, understood, and what they name."""

    def __init__(self, argv: Sequence[str], switches: frozenset[str] = frozenset()) -> None:
        self.named = []
        for word in argv:
            if word.startswith("-"):
                break
            self.named.append(word)
        self.arguments, self.given = parse_where(
            argv[len(self.named) :],
            switches=switches | {"json"},
            values=frozenset({"output", "tenant"}),
        )
        self.wants_help = "help" in self.arguments.switches
        self.as_json = output_of(self.arguments.extra, self.given) == "json"

    def open(self) -> tuple[ObjectStore, list[BlockMeta]]:
        """Open the bucket and read the list. Raises: TracestoreError."""
        store = open_bucket(read_settings(self.arguments), writes=False)
        return store, blocks_of(read_index(store), self.arguments.extra.get("tenant"))


def run_block(argv: Sequence[str]) -> int:
    """Run the command. Returns: the exit code. Raises: TracestoreError."""
    return run_subcommand("block", _COMMANDS, argv, usage=USAGE)


def _list(argv: Sequence[str]) -> int:
    call = _Call(argv)
    if call.wants_help:
        print(USAGE, end="")
        return 0
    if call.named:
        raise SettingsError(f"block ls takes no {call.named[0]!r}; see --help")
    _, blocks = call.open()
    if call.as_json:
        print(json.dumps([meta_json(meta) for meta in blocks], indent=2))
    else:
        show_blocks(_screen(), blocks)
    return 0


def _inspect(argv: Sequence[str]) -> int:
    call = _Call(argv, frozenset({"fast"}))
    if call.wants_help:
        print(USAGE, end="")
        return 0
    if len(call.named) != 1:
        raise SettingsError("name one block: tracestore block inspect ID; block ls lists them")
    store, blocks = call.open()
    meta = find_block(blocks, call.named[0])
    reader = BlockReader(store, meta, BlockCache(CACHE_BYTES))
    tables = table_sizes(reader, exact="fast" not in call.given)
    if call.as_json:
        print(json.dumps(inspection_json(meta, tables, filters_bytes(reader)), indent=2))
    else:
        show_inspection(_screen(), meta, tables, filters_bytes(reader))
    return 0


def _verify(argv: Sequence[str]) -> int:
    call = _Call(argv)
    if call.wants_help:
        print(USAGE, end="")
        return 0
    store, blocks = call.open()
    chosen = [find_block(blocks, named) for named in call.named] if call.named else blocks
    is_sound = True
    answers = []
    for verified in each(chosen, lambda meta: verify_block(store, meta)):
        is_sound = is_sound and not verified.problems
        if call.as_json:
            answers.append(verified_json(verified))
        else:
            show_verified(_screen(), verified)
    if call.as_json:
        print(json.dumps(answers, indent=2))
    elif not chosen:
        print("no blocks")
    return 0 if is_sound else 1


_COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "ls": _list,
    "inspect": _inspect,
    "verify": _verify,
}


def _screen() -> Screen:
    return Screen.of(sys.stdout, colour=read_client_environment().colour)
