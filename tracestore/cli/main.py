"""The command line: ``tracestore COMMAND``. An error is one line and exit code 1."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from tracestore.cli.config import run_config
from tracestore.cli.demo import run_demo
from tracestore.cli.failure import describe
from tracestore.cli.graph import run_graph
from tracestore.cli.index import run_index
from tracestore.cli.query import run_query
from tracestore.cli.running import FORCED_EXIT_CODE
from tracestore.cli.serve import run_serve
from tracestore.cli.tags import run_tags
from tracestore.cli.trace import run_trace
from tracestore.errors import TracestoreError
from tracestore.version import package_version

USAGE = """\
usage: tracestore [command] [flags]

  serve    take traces and answer queries
  query    find traces with TraceQL, on a server or in a data directory
  trace    show a trace as a tree
  tags     list attributes, or the values of one
  graph    tell which services call which, and what depends on one
  demo     serve, with the traffic of a simulated shop
  config   print the effective settings, each with its origin
  index    check the index of the blocks, or make it anew from them
  block    list the blocks, look into one, verify them
  usage    how many bytes tenants, services and attributes take
  retention  what goes when, by tenant and rule
  sampling  what a sampling policy would keep and save, on stored traces

  --help, --version

`tracestore COMMAND --help` says more. Flags without a command are those of serve, so a command line
of Tempo works: tracestore -config.file=tempo.yaml -target=all
"""


def _run_block(argv: Sequence[str]) -> int:
    # Arrow takes half a second to import; who asks a server needs none of it.
    from tracestore.cli.block import run_block

    return run_block(argv)


def _run_usage(argv: Sequence[str]) -> int:
    from tracestore.cli.usage import run_usage

    return run_usage(argv)


def _run_retention(argv: Sequence[str]) -> int:
    from tracestore.cli.retention import run_retention

    return run_retention(argv)


def _run_sampling(argv: Sequence[str]) -> int:
    from tracestore.cli.sampling import run_sampling

    return run_sampling(argv)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "serve": run_serve,
    "query": run_query,
    "trace": run_trace,
    "tags": run_tags,
    "graph": run_graph,
    "demo": run_demo,
    "config": run_config,
    "index": run_index,
    "block": _run_block,
    "usage": _run_usage,
    "retention": _run_retention,
    "sampling": _run_sampling,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (default: that of the process). Returns: the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    first = words[0] if words else "--help"
    try:
        if first in ("--help", "-help", "-h", "help"):
            print(USAGE, end="")
            return 0
        if first in ("--version", "-version", "version"):
            print(f"tracestore {package_version()}")
            return 0
        if first.startswith("-"):
            return run_serve(words)
        if first not in COMMANDS:
            known = ", ".join(COMMANDS)
            print(f"tracestore: unknown command {first!r}, known are {known}", file=sys.stderr)
            return 1
        return COMMANDS[first](words[1:])
    except TracestoreError as error:
        print(f"tracestore: {describe(error)}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read the output has gone; what is still buffered must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return FORCED_EXIT_CODE


if __name__ == "__main__":
    sys.exit(main())
