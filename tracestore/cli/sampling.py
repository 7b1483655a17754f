"""``tracestore sampling try``: what a policy would keep and save, on stored traces."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tracestore.cli.blocks import blocks_of, each, output_of, read_index
from tracestore.cli.opening import WHERE_USAGE, open_bucket, parse_where
from tracestore.cli.screen import Cell, Column, Ink, Screen
from tracestore.clock import SystemClock
from tracestore.errors import SettingsError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import TenantId
from tracestore.model.times import TimeRange
from tracestore.model.words import bytes_words, counted
from tracestore.query.block_source import BlockSource
from tracestore.services.sampling.policy import Policy, parse_policy, policy_of, rule_texts
from tracestore.services.sampling.replay import Judged, Replay
from tracestore.settings.client import read_client_environment
from tracestore.settings.load import load_settings, read_overrides
from tracestore.settings.overrides import Overrides
from tracestore.settings.sampling_file import read_policy_file
from tracestore.settings.tree import Settings
from tracestore.settings.units import parse_duration
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.objects.interface import ObjectStore

USAGE = f"""\
usage: tracestore sampling try [flags]

Replays a sampling policy over the traces that are stored: what each of its rules would keep and
drop, and what that would save. Nothing is done. Traces are looked at whole; bytes are those of
their blocks, in proportion to spans. What is in no block yet is left out.

  --policy FILE          the policy: sampling: [...] and drop: ..., as in the configuration, or a
                         whole configuration; default: what each tenant has
  --tenant NAME          one tenant
  --last TIME            traces that ended in this time, such as 24h or 7d; default: all
{WHERE_USAGE}  --output FORMAT        text, json [text]; --json is the same as --output=json

The policies of tenants are those of the server's settings: name its file with --config.
"""
CACHE_BYTES = 128 << 20
_COLUMNS = (
    Column("TENANT", shrinks=True),
    Column("RULE", shrinks=True),
    Column("DECISION"),
    Column("TRACES", right=True),
    Column("SPANS", right=True),
    Column("BYTES", right=True),
    Column("SHARE", right=True),
)


@dataclass(slots=True, kw_only=True)
class _Sum:
    """What one rule of one tenant decides over, one way."""

    tenant: str
    rule: str
    decision: str
    traces: int = 0
    spans: int = 0
    bytes: int = 0

    def add(self, one: Judged) -> None:
        self.traces += one.traces
        self.spans += one.spans
        self.bytes += one.bytes


@dataclass(slots=True, kw_only=True)
class _Total:
    """All of one tenant."""

    tenant: str
    kept_traces: int = 0
    kept_spans: int = 0
    kept_bytes: int = 0
    dropped_traces: int = 0
    dropped_spans: int = 0
    dropped_bytes: int = 0
    sampled_before_traces: int = 0

    def add(self, one: Judged) -> None:
        self.sampled_before_traces += one.sampled_before
        if one.keeps:
            self.kept_traces += one.traces
            self.kept_spans += one.spans
            self.kept_bytes += one.bytes
        else:
            self.dropped_traces += one.traces
            self.dropped_spans += one.spans
            self.dropped_bytes += one.bytes

    @property
    def saved_share(self) -> float:
        """Share of the bytes that would not be stored."""
        return self.dropped_bytes / max(1, self.kept_bytes + self.dropped_bytes)


def run_sampling(argv: Sequence[str]) -> int:
    """Run the command. Returns: the exit code. Raises: TracestoreError."""
    first = argv[0] if argv else "--help"
    if first in ("--help", "-help", "-h", "help"):
        print(USAGE, end="")
        return 0
    if first != "try":
        raise SettingsError(f"unknown command sampling {first}, known is try; see --help")
    names = frozenset({"output", "tenant", "policy", "last"})
    arguments, given = parse_where(argv[1:], switches=frozenset({"json"}), values=names)
    if "help" in arguments.switches:
        print(USAGE, end="")
        return 0
    as_json = output_of(arguments.extra, given) == "json"
    now_ns = SystemClock().now_ns()
    since_ns = _since(arguments.extra.get("last"), now_ns)
    loaded = load_settings(arguments)
    overrides = Overrides.of(loaded.settings.overrides.defaults, read_overrides(loaded))
    policy = _policy_of_file(arguments.extra.get("policy"))
    store = open_bucket(loaded.settings, writes=False)
    blocks = blocks_of(read_index(store), arguments.extra.get("tenant"))
    policies = _policies(blocks, policy, overrides)
    trial = _Trial(store, blocks, loaded.settings, policies, since_ns)
    sums, totals = _add_up(trial.run(), policies)
    if as_json:
        _print_json(sums, totals, now_ns, since_ns)
    else:
        _show(Screen.of(sys.stdout, colour=read_client_environment().colour), sums, totals)
    return 0


def _since(text: str | None, now_ns: int) -> int:
    if text is None:
        return 0
    try:
        return now_ns - int(parse_duration(text) * 1e9)
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"flag --last: {error}, got {text!r}") from error


def _policy_of_file(name: str | None) -> Policy | None:
    if name is None:
        return None
    try:
        text = Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"cannot read policy {name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"cannot read policy {name}: no UTF-8 at byte {error.start}") from error
    return parse_policy(*read_policy_file(text, source=name))


def _policies(
    blocks: Sequence[BlockMeta], policy: Policy | None, overrides: Overrides
) -> dict[str, Policy]:
    """Find the policy of each tenant. Raises: SettingsError if nobody has one."""
    tenants: Iterable[TenantId] = dict.fromkeys(meta.tenant for meta in blocks)
    found: dict[str, Policy] = {}
    for tenant in tenants:
        own = policy or policy_of(overrides.limits(tenant))
        if own is not None:
            found[tenant] = own
    if blocks and not found:
        raise SettingsError(
            "no tenant has a sampling policy in these settings: name the server's with --config, "
            "or one to try with --policy FILE"
        )
    return found


class _Trial:
    """Looks at the blocks, each by the policy of its tenant."""

    def __init__(
        self,
        store: ObjectStore,
        blocks: Sequence[BlockMeta],
        settings: Settings,
        policies: Mapping[str, Policy],
        since_ns: int,
    ) -> None:
        self._store = store
        self._blocks = [meta for meta in blocks if meta.tenant in policies]
        self._reach_ns = int(settings.compactor.compaction.trace_reach_s * 1e9)
        self._cache = BlockCache(CACHE_BYTES)
        self._since_ns = since_ns
        clock = SystemClock()
        self._of = {
            tenant: Replay(
                policy=policy, near=self._near, open=self._open, clock=clock, since_ns=since_ns
            )
            for tenant, policy in policies.items()
        }

    def run(self) -> Iterable[Judged]:
        """Look at each."""
        wanted = [meta for meta in self._blocks if meta.end_ns >= self._since_ns]
        for found in each(wanted, lambda meta: list(self._of[meta.tenant].of_block(meta))):
            yield from found

    def _open(self, meta: BlockMeta) -> BlockSource:
        return BlockSource(self._store, meta, self._cache)

    def _near(self, block: BlockMeta) -> list[BlockSource]:
        reach_ns = self._reach_ns
        window = TimeRange(start_ns=block.start_ns - reach_ns, end_ns=block.end_ns + reach_ns)
        return [
            self._open(meta)
            for meta in self._blocks
            if meta.tenant == block.tenant
            and meta.id != block.id
            and window.overlaps(meta.start_ns, meta.end_ns)
        ]


def _add_up(
    found: Iterable[Judged], policies: Mapping[str, Policy]
) -> tuple[list[_Sum], list[_Total]]:
    """Sum up by rule, in the order in which rules decide, and by tenant."""
    totals = {tenant: _Total(tenant=tenant) for tenant in policies}
    sums: dict[tuple[str, int, bool], _Sum] = {}
    for tenant, policy in policies.items():
        texts = rule_texts(policy)
        for place, rule in enumerate(policy.rules):
            decision = "keep" if rule.keeps else "drop"
            sums[tenant, place, rule.keeps] = _Sum(
                tenant=tenant, rule=texts[place], decision=decision
            )
        for keeps in _outcomes(policy):
            sums[tenant, len(policy.rules), keeps] = _Sum(
                tenant=tenant, rule=texts[-1], decision="keep" if keeps else "drop"
            )
    for one in found:
        sums[one.tenant, one.rule, one.keeps].add(one)
        totals[one.tenant].add(one)
    return list(sums.values()), list(totals.values())


def _outcomes(policy: Policy) -> tuple[bool, ...]:
    """Tell what may become of traces that no rule finds."""
    if policy.ratio in (0.0, 1.0):
        return (policy.ratio == 1.0,)
    return True, False


def _print_json(sums: Sequence[_Sum], totals: Sequence[_Total], now_ns: int, since_ns: int) -> None:
    shown = [asdict(total) | {"saved_share": total.saved_share} for total in totals]
    values = {"now_ns": now_ns, "since_ns": since_ns, "totals": shown}
    print(json.dumps(values | {"rules": [asdict(one) for one in sums]}, indent=2))


def _show(screen: Screen, sums: Sequence[_Sum], totals: Sequence[_Total]) -> None:
    if not totals:
        screen.write("there are no blocks")
        return
    rows = []
    for total in totals:
        size = total.kept_bytes + total.dropped_bytes
        rows += [_row(one, size) for one in sums if one.tenant == total.tenant]
    screen.table(_COLUMNS, rows)
    for total in totals:
        size = total.kept_bytes + total.dropped_bytes
        screen.write(
            f"{total.tenant}: kept {counted(total.kept_traces, 'trace')} of "
            f"{total.kept_traces + total.dropped_traces}, "
            f"{counted(total.kept_spans, 'span')} of {total.kept_spans + total.dropped_spans}; "
            f"saved {bytes_words(total.dropped_bytes)} of {bytes_words(size)} "
            f"({total.saved_share:.1%})"
        )
        if total.sampled_before_traces:
            screen.write(
                f"{total.tenant}: {counted(total.sampled_before_traces, 'trace')} stand for others "
                "already: what was sampled before is not here to be judged"
            )


def _row(one: _Sum, size: int) -> tuple[Cell, ...]:
    return (
        Cell(one.tenant, Ink.NAME),
        Cell(one.rule),
        Cell(one.decision),
        Cell(str(one.traces)),
        Cell(str(one.spans)),
        Cell(bytes_words(one.bytes)),
        Cell(f"{one.bytes / max(1, size):.1%}"),
    )
