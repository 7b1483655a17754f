"""The known keys."""

from __future__ import annotations

import pytest

from tracestore.settings.leaves import leaves
from tracestore.settings.schema import Ignored, Refused, Target, expand, find, iterate, nearest


def test_groups_expand() -> None:
    assert list(expand("a.{b,c.{d,e}}.f  {x,y}")) == ["a.b.f", "a.c.d.f", "a.c.e.f", "x", "y"]


def test_every_meaning_names_a_leaf() -> None:
    targets = [node for _, node in iterate() if isinstance(node, Target)]

    assert {target.path for target in targets} == leaves().keys()


def test_both_spellings_lead_to_the_same_leaf() -> None:
    own = find(["storage", "path"])
    tempo = find(["storage", "trace", "local", "path"])

    assert isinstance(own, Target)
    assert isinstance(tempo, Target)
    assert own.path == tempo.path == "storage.path"


def test_anything_may_stand_below_a_key_that_has_no_meaning() -> None:
    assert isinstance(find(["storage", "trace", "gcs", "bucket"]), Ignored)
    assert isinstance(find(["server", "http_tls_config", "cert_file"]), Refused)


def test_nothing_stands_below_a_leaf() -> None:
    assert find(["storage", "path", "x"]) is None


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("ingester.max_blok_duration", "ingester.max_block_duration"),
        ("servr.http_listen_port", "server"),
        ("server.http_listen_prot", "server.http_listen_port"),
        ("ingester.http_listen_port", "server.http_listen_port"),
        ("storage.path.deeper", "storage.path"),
        (
            "overrides.defaults.ingestion.rate_limit",
            "overrides.defaults.ingestion.rate_limit_bytes",
        ),
    ],
)
def test_the_nearest_key(wrong: str, right: str) -> None:
    assert nearest(wrong.split(".")) == right


def test_there_is_always_a_nearest_key() -> None:
    assert find(nearest(["qqqq", "zzzz"]).split(".")) is not None
