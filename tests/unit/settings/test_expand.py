"""Expansion of the environment in a configuration file."""

from __future__ import annotations

import pytest

from tracestore.errors import SettingsError
from tracestore.settings.expand import expand_environment

ENVIRON = {"HOST": "tempo", "EMPTY": "", "WORD": "abcdef"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("url: ${HOST}:80", "url: tempo:80"),
        ("${NONE}", ""),
        ("${NONE:-x}", "x"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY-x}", ""),
        ("${NONE-x}", "x"),
        ("${NONE:=x}", "x"),
        ("${HOST:-x}", "tempo"),
        ("${NONE:-}", ""),
        ("${NONE:-http://a:1/b}", "http://a:1/b"),
        ("${NONE:-${HOST}}", "tempo"),
        ("${NONE:-${EMPTY:-deep}}!", "deep!"),
        ("${HOST:+set}", "set"),
        ("${NONE:+set}", ""),
        ("${#WORD}", "6"),
        ("${WORD^}", "Abcdef"),
        ("${WORD^^}", "ABCDEF"),
        ("${WORD:2}", "cdef"),
        ("${WORD:1:2}", "bc"),
        ("${WORD#ab}", "cdef"),
        ("${WORD%ef}", "abcd"),
        ("${WORD/b/x}", "axcdef"),
        ("${WORD//b/x}", "axcdef"),
        ("${WORD/#ab/x}", "xcdef"),
        ("${WORD/#b/x}", "abcdef"),
        ("${WORD/%ef/x}", "abcdx"),
        ("${WORD/%e/x}", "abcdef"),
        ("${NONE:-:4317}", ":4317"),
        ("${NONE:--1}", "-1"),
        ("${NONE:=+1}", "+1"),
        ("${NONE--}", "-"),
        ("${HOST:+-on}", "-on"),
        ("$HOST", "$HOST"),
        ("a$$b", "a$b"),
        ("$${HOST}", "${HOST}"),
        ("cost: 5$", "cost: 5$"),
    ],
)
def test_forms(text: str, expanded: str) -> None:
    assert expand_environment(text, ENVIRON, source="f") == expanded


@pytest.mark.parametrize("text", ["\n${HOST", "\n${}", "\n${1}", "\n${HOST#*x}", "\n${HOST@Q}"])
def test_other_forms_are_refused_with_their_line(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^f\.yaml:2: "):
        expand_environment(text, ENVIRON, source="f.yaml")
