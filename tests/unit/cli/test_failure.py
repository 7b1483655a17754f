"""Errors as one line."""

from __future__ import annotations

import errno

from tracestore.cli.failure import describe, is_answer
from tracestore.errors import SettingsError


def test_groups_are_taken_apart() -> None:
    inner = ExceptionGroup("x", [SettingsError("port 1 is\n in use"), SettingsError("y")])

    assert describe(ExceptionGroup("all", [inner])) == "port 1 is in use; y"


def test_errors_of_the_machine_name_the_file() -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "/data")

    assert describe(error) == "/data: Permission denied"
    assert describe(OSError()) == "OSError"


def test_a_mistake_of_ours_is_no_answer() -> None:
    assert is_answer(ExceptionGroup("x", [SettingsError("a"), OSError(1, "b")]))
    assert not is_answer(ExceptionGroup("x", [SettingsError("a"), KeyError("b")]))
