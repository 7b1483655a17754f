"""``tracestore retention plan``: what goes when, by tenant and rule, without doing it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from tracestore.cli.blocks import blocks_of, each, output_of, read_index
from tracestore.cli.opening import WHERE_USAGE, open_bucket, parse_where
from tracestore.cli.screen import Cell, Column, Ink, Screen
from tracestore.clock import SystemClock
from tracestore.errors import SettingsError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.times import TimeRange
from tracestore.model.words import bytes_words, duration_words, time_words
from tracestore.query.block_source import BlockSource
from tracestore.services.compactor.forecast import Forecaster, Going
from tracestore.services.compactor.retention import Retention, rules_of
from tracestore.settings.client import read_client_environment
from tracestore.settings.load import load_settings, read_overrides
from tracestore.settings.overrides import Overrides
from tracestore.settings.tree import Settings
from tracestore.settings.units import parse_duration
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.pins import Pins

USAGE = f"""\
usage: tracestore retention plan [flags]

What retention takes away and when, by tenant and rule: blocks that lose something, traces, spans
and bytes (of a block in proportion to spans). Nothing is done. It evaluates the rules on the blocks
that are there; what compaction merges until then goes with its newest span.

  --tenant NAME          one tenant
  --within TIME          only what goes by then, such as 24h or 7d
{WHERE_USAGE}  --output FORMAT        text, json [text]; --json is the same as --output=json

The limits of tenants are those of the server's settings: name its file with --config.
"""
CACHE_BYTES = 128 << 20
_COLUMNS = (
    Column("TENANT", shrinks=True),
    Column("RULE", shrinks=True),
    Column("KEEPS", right=True),
    Column("BLOCKS", right=True),
    Column("TRACES", right=True),
    Column("SPANS", right=True),
    Column("BYTES", right=True),
    Column("FIRST GOES"),
    Column("LAST GOES"),
)


@dataclass(slots=True, kw_only=True)
class _Sum:
    """What goes by one rule of one tenant."""

    tenant: str
    rule: str
    keep_s: float | None
    blocks: int = 0
    traces: int = 0
    spans: int = 0
    bytes: int = 0
    first_due_ns: int | None = None
    last_due_ns: int | None = None

    def add(self, going: Going) -> None:
        self.blocks += 1
        self.traces += going.traces
        self.spans += going.spans
        self.bytes += going.bytes
        if going.due_ns is not None:
            self.first_due_ns = min(self.first_due_ns or going.due_ns, going.due_ns)
            self.last_due_ns = max(self.last_due_ns or going.due_ns, going.due_ns)


def run_retention(argv: Sequence[str]) -> int:
    """Run the command. Returns: the exit code. Raises: TracestoreError."""
    first = argv[0] if argv else "--help"
    if first in ("--help", "-help", "-h", "help"):
        print(USAGE, end="")
        return 0
    if first != "plan":
        raise SettingsError(f"unknown command retention {first}, known is plan; see --help")
    arguments, given = parse_where(
        argv[1:], switches=frozenset({"json"}), values=frozenset({"output", "tenant", "within"})
    )
    if "help" in arguments.switches:
        print(USAGE, end="")
        return 0
    as_json = output_of(arguments.extra, given) == "json"
    now_ns = SystemClock().now_ns()
    until_ns = _until(arguments.extra.get("within"), now_ns)
    loaded = load_settings(arguments)
    overrides = Overrides.of(loaded.settings.overrides.defaults, read_overrides(loaded))
    if loaded.settings.compactor.disabled:
        print("tracestore: compactor.disabled is set: nothing goes", file=sys.stderr)
    store = open_bucket(loaded.settings, writes=False)
    blocks = blocks_of(read_index(store), arguments.extra.get("tenant"))
    plan = _Plan(store, blocks, loaded.settings, overrides)
    found = [one for one in plan.run() if until_ns is None or _goes_by(one, until_ns)]
    sums = _add_up(found)
    if as_json:
        values = {"now_ns": now_ns, "rules": [asdict(s) for s in sums]}
        print(json.dumps(values | {"blocks": [asdict(one) for one in found]}, indent=2))
    else:
        _show(Screen.of(sys.stdout, colour=read_client_environment().colour), sums, now_ns)
    return 0


class _Plan:
    """Looks at the blocks, each by the limits of its tenant."""

    def __init__(
        self,
        store: ObjectStore,
        blocks: Sequence[BlockMeta],
        settings: Settings,
        overrides: Overrides,
    ) -> None:
        self._store = store
        self._blocks = blocks
        self._settings = settings.compactor.compaction
        self._cache = BlockCache(CACHE_BYTES)
        clock = SystemClock()
        pins = Pins(store, clock, pins_max=self._settings.pins_max)
        self._of: dict[str, Forecaster] = {}
        for tenant in dict.fromkeys(meta.tenant for meta in blocks):
            limits = overrides.limits(tenant).compaction
            retention = Retention(
                base_s=limits.block_retention_s or self._settings.block_retention_s,
                rules=rules_of(limits.retention_rules),
            )
            self._of[tenant] = Forecaster(
                retention=retention,
                pinned=pins.all(tenant),
                near=self._near,
                open=self._open,
                clock=clock,
            )

    def run(self) -> Iterable[Going]:
        """Look at each."""
        for found in each(self._blocks, lambda meta: list(self._of[meta.tenant].of_block(meta))):
            yield from found

    def _open(self, meta: BlockMeta) -> BlockSource:
        return BlockSource(self._store, meta, self._cache)

    def _near(self, block: BlockMeta) -> list[BlockSource]:
        reach_ns = int(self._settings.trace_reach_s * 1e9)
        window = TimeRange(start_ns=block.start_ns - reach_ns, end_ns=block.end_ns + reach_ns)
        return [
            self._open(meta)
            for meta in self._blocks
            if meta.tenant == block.tenant
            and meta.id != block.id
            and window.overlaps(meta.start_ns, meta.end_ns)
        ]


def _until(text: str | None, now_ns: int) -> int | None:
    if text is None:
        return None
    try:
        return now_ns + int(parse_duration(text) * 1e9)
    except ValueError as error:
        raise SettingsError(f"flag --within: {error}, got {text!r}") from error


def _goes_by(going: Going, until_ns: int) -> bool:
    return going.due_ns is not None and going.due_ns <= until_ns


def _add_up(found: Iterable[Going]) -> list[_Sum]:
    sums: dict[tuple[str, str, float | None], _Sum] = {}
    for one in found:
        key = (one.tenant, one.rule, one.keep_s)
        sums.setdefault(key, _Sum(tenant=one.tenant, rule=one.rule, keep_s=one.keep_s)).add(one)
    return sorted(sums.values(), key=lambda s: (s.tenant, s.keep_s is None, s.keep_s or 0, s.rule))


def _show(screen: Screen, sums: Sequence[_Sum], now_ns: int) -> None:
    if not sums:
        screen.write("nothing goes")
        return
    rows = [
        (
            Cell(one.tenant, Ink.NAME),
            Cell(one.rule),
            Cell("-" if one.keep_s is None else _days(one.keep_s)),
            Cell(str(one.blocks)),
            Cell(str(one.traces)),
            Cell(str(one.spans)),
            Cell(bytes_words(one.bytes)),
            Cell(_when(one.first_due_ns, now_ns)),
            Cell(_when(one.last_due_ns, now_ns)),
        )
        for one in sums
    ]
    screen.table(_COLUMNS, rows)


def _days(seconds: float) -> str:
    days = seconds / 86400
    return f"{days:g}d" if days >= 1 else duration_words(int(seconds * 1e9))


def _when(due_ns: int | None, now_ns: int) -> str:
    if due_ns is None:
        return "never"
    return "now" if due_ns <= now_ns else time_words(due_ns)[:16]
