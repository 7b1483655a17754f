"""The page of the settings is the one that the tree gives."""

from __future__ import annotations

from pathlib import Path

from tracestore.settings.docs import render_configuration_docs

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_page_is_current() -> None:
    current = render_configuration_docs()
    assert PAGE.read_text(encoding="utf-8") == current, "run: python -m tracestore.cli.docs"
