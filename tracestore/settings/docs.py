"""``docs/configuration.md`` from the tree and its strings."""

from __future__ import annotations

from tracestore.settings.leaves import Leaf, leaves, sections
from tracestore.settings.render import render_value
from tracestore.settings.schema import Ignored, Refused, Target, iterate

_HEAD = """\
# Configuration

Generated from `tracestore/settings/` by `python -m tracestore.cli.docs`.

A setting is found in this order: flag, environment, YAML file, default. An explicit `0` or `false`
wins over a default. `tracestore config` prints the effective settings, each with its origin, and
`/status/config` shows those of a running server. A key that nobody knows is an error that names the
nearest known one.

| where | spelling |
| --- | --- |
| flag | `--ingester.wal.segment-bytes-max=64MiB`, with one dash or two |
| environment | `TRACESTORE_INGESTER__WAL__SEGMENT_BYTES_MAX=64MiB` |
| YAML | `ingester: {wal: {segment_bytes_max: 64MiB}}` |

The file is given with `--config FILE` or `-config.file=FILE`. `-config.expand-env` replaces
`${VAR}` and `${VAR:-default}` in its text, `-config.verify` checks it and stops. A duration is a
number of seconds or has units (`5m`, `1h30m`, `7d`); a size is a number of bytes or has a unit
(`64MiB`, `10MB`).

## Settings
"""
_TEMPO_HEAD = """
## Keys of Tempo

A `tempo.yaml` of a single binary works as it is. These of its keys set what is described above.
Tempo's durations need a unit.

| key of Tempo | sets |
| --- | --- |
"""
_RECEIVERS = """
`distributor.receivers` may be a map as the Collector has it. Then a protocol that it does not name
is off, and one given with nothing below it (`grpc:`) is on with its defaults.

These are refused unless they are false or empty:

"""
_IGNORED_HEAD = """
These are accepted with a warning, since they have no meaning here:

| why | keys |
| --- | --- |
"""


def render_configuration_docs() -> str:
    """Render the whole page."""
    parts = [_HEAD]
    for path, section in sections().items():
        own = [leaf for leaf in leaves().values() if leaf.path.rpartition(".")[0] == path]
        title = f"`{path}`" if path else "Top level"
        parts += [f"\n### {title}\n\n{section.doc}\n", "\n| key | default | meaning |\n"]
        parts += ["| --- | --- | --- |\n", *(_row(leaf) for leaf in own)]
    known = list(iterate())
    parts.append(_TEMPO_HEAD)
    for name, node in known:
        if isinstance(node, Target) and name != node.path:
            parts.append(f"| `{name}` | `{node.path}` |\n")
    parts.append(_RECEIVERS)
    parts += [f"- `{name}`: {node.reason}\n" for name, node in known if isinstance(node, Refused)]
    parts.append(_IGNORED_HEAD)
    by_reason: dict[str, list[str]] = {}
    for name, node in known:
        if isinstance(node, Ignored):
            by_reason.setdefault(node.reason, []).append(f"`{name}`")
    parts += [f"| {reason} | {', '.join(names)} |\n" for reason, names in by_reason.items()]
    return "".join(parts)


def _row(leaf: Leaf) -> str:
    name = leaf.path.rpartition(".")[2]
    default = render_value(name, leaf.default)
    return f"| `{name}` | `{default}` | {leaf.doc} {leaf.unit.capitalize()}. |\n"
