"""Writes the generated pages of ``docs/`` in a clone: ``python -m tracestore.cli.docs``."""

from __future__ import annotations

from pathlib import Path

from tracestore.instruments import render_metrics_docs
from tracestore.settings.docs import render_configuration_docs
from tracestore.telemetry import Metrics


def write_docs(directory: Path) -> None:
    """Write ``configuration.md`` and ``metrics.md``."""
    pages = {
        "configuration.md": render_configuration_docs(),
        "metrics.md": render_metrics_docs(Metrics(version="").declared()),
    }
    for name, text in pages.items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_docs(Path(__file__).parents[2] / "docs")
