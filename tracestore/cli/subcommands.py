"""Commands that have commands of their own: ``tracestore block ls``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tracestore.errors import SettingsError

HELP = frozenset({"--help", "-help", "-h", "help"})


def run_subcommand(
    name: str,
    commands: Mapping[str, Callable[[Sequence[str]], int]],
    argv: Sequence[str],
    *,
    usage: str,
) -> int:
    """Run the command that the first word names; without one, or asked for help, say what there is.

    Returns: the exit code. Raises: TracestoreError.
    """
    first = argv[0] if argv else "--help"
    if first in HELP:
        print(usage, end="")
        return 0
    command = commands.get(first)
    if command is None:
        known = ", ".join(commands)
        raise SettingsError(f"unknown command {name} {first}, known are {known}; see --help")
    return command(argv[1:])
