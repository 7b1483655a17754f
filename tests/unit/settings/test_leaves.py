"""The tree seen as leaves."""

from __future__ import annotations

from tracestore.settings.leaves import build_settings, leaf_values, leaves, sections
from tracestore.settings.tree import Settings


def test_every_field_has_a_string_that_says_its_effect() -> None:
    assert not [path for path, leaf in leaves().items() if len(leaf.doc) < 10]
    assert not [path for path, section in sections().items() if not section.doc]


def test_spellings() -> None:
    leaf = leaves()["ingester.wal.segment_bytes_max"]

    assert leaf.flag == "--ingester.wal.segment-bytes-max"
    assert leaf.variable == "TRACESTORE_INGESTER__WAL__SEGMENT_BYTES_MAX"


def test_no_values_build_the_defaults() -> None:
    assert build_settings({}) == Settings()


def test_values_reach_their_leaves() -> None:
    settings = build_settings({"ingester.wal.path": "/wal", "server.http_listen_port": 0})

    assert settings.ingester.wal.path == "/wal"
    assert leaf_values(settings)["server.http_listen_port"] == 0
    changed = {
        path for path, value in leaf_values(settings).items() if value != leaves()[path].default
    }
    assert changed == {"ingester.wal.path", "server.http_listen_port"}
