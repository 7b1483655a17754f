"""Configuration files, key by key."""

from __future__ import annotations

import pytest

from tracestore.errors import SettingsError
from tracestore.settings.leaves import leaves
from tracestore.settings.yaml_file import read_yaml


def values(text: str) -> dict[str, object]:
    return {p: given.value for p, given in read_yaml(text, source="t.yaml").values.items()}


def test_values_know_their_line() -> None:
    layer = read_yaml("server:\n  http_listen_port: 80\n\nstorage: {path: x}\n", source="t.yaml")

    assert {path: given.origin for path, given in layer.values.items()} == {
        "server.http_listen_port": "t.yaml:2",
        "storage.path": "t.yaml:4",
    }


@pytest.mark.parametrize("text", ["", "---\n", "# nothing\n", "null\n", "server:\nquerier: {}\n"])
def test_nothing_says_nothing(text: str) -> None:
    layer = read_yaml(text, source="t.yaml")

    assert layer.values == {}
    assert layer.warnings == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("storage: {path: 0123}", "0123"),
        ("storage: {path: yes}", "yes"),
        ("storage: {path: '~'}", "~"),
        ('storage: {path: "a b"}', "a b"),
    ],
)
def test_texts_stay_as_written(text: str, value: str) -> None:
    assert values(text) == {"storage.path": value}


def test_null_leaves_the_default_unless_null_is_a_value() -> None:
    text = "storage: {path: ~}\ndistributor: {receivers: {grpc: {request_bytes_max: null}}}"

    assert values(text) == {"distributor.receivers.grpc.request_bytes_max": None}


def test_anchors_and_merges() -> None:
    text = """
server: &server {http_listen_port: 1, log_level: debug}
ingester: {max_block_duration: &time 7m}
query_frontend: {search: {max_duration: *time}}
"""
    assert values(text)["query.max_duration_s"] == 420.0
    assert values("server: {<<: {log_level: debug, log_format: json}, log_level: warn}") == {
        "server.log_level": "warn",
        "server.log_format": "json",
    }


def test_a_merged_mapping_may_be_used_twice() -> None:
    text = """
distributor:
  receivers:
    otlp:
      protocols:
        grpc: &both {<<: {endpoint: "a:1"}, endpoint: "b:2"}
        http: *both
"""
    given = values(text)

    assert given["distributor.receivers.grpc.endpoint"] == "b:2"
    assert given["distributor.receivers.http.endpoint"] == "b:2"


def test_a_mapping_that_merges_itself_is_read_once() -> None:
    assert values("server: &a\n  <<: *a\n  log_level: warn\n") == {"server.log_level": "warn"}


JAEGER = {f"jaeger.{name}" for name in ("grpc", "thrift_http", "thrift_compact", "thrift_binary")}


@pytest.mark.parametrize(
    ("receivers", "on"),
    [
        ("{otlp: {protocols: {grpc: }}}", {"grpc"}),
        ("{otlp: {protocols: {http: {}}}}", {"http"}),
        ("{otlp: {protocols: {grpc: , http: }}}", {"grpc", "http"}),
        ("{otlp: {protocols: }}", {"grpc", "http"}),
        ("{otlp: }", {"grpc", "http"}),
        ("{otlp: , zipkin: {endpoint: 'x:1'}}", {"grpc", "http", "zipkin"}),
        ("{zipkin: }", {"zipkin"}),
        ("{jaeger: }", JAEGER),
        ("{jaeger: {protocols: {grpc: }}}", {"jaeger.grpc"}),
        (
            "{jaeger: {protocols: {thrift_http: , thrift_compact: }}}",
            {"jaeger.thrift_http", "jaeger.thrift_compact"},
        ),
        ("{jaeger: {protocols: {thrift_binary: }}}", {"jaeger.thrift_binary"}),
        ("{opencensus: }", set()),
        ("{zipkin: , http: {enabled: true}}", {"zipkin", "http"}),
    ],
)
def test_a_collector_map_turns_off_what_it_does_not_name(receivers: str, on: set[str]) -> None:
    given = values(f"distributor: {{receivers: {receivers}}}")

    switches = {name: value for name, value in given.items() if name.endswith(".enabled")}
    assert set(switches) == {leaf for leaf in leaves() if is_switch_of_receiver(leaf)}
    assert {name for name, value in switches.items() if value} == {
        f"distributor.receivers.{name}.enabled" for name in on
    }


def switched_on(given: dict[str, object]) -> dict[str, object]:
    """Without the receivers that are off."""
    return {name: value for name, value in given.items() if value is not False}


def is_switch_of_receiver(leaf: str) -> bool:
    return leaf.startswith("distributor.receivers.") and leaf.endswith(".enabled")


@pytest.mark.parametrize(
    "receivers",
    [
        "{zipkin: {enabled: true}}",
        "{jaeger: {grpc: {endpoint: 'x:1'}}}",
        "{zipkin: {request_bytes_max: 1MiB, endpoint: 'x:1'}}",
        "{grpc: {endpoint: 'x:1'}}",
    ],
)
def test_own_spelling_of_a_receiver_turns_nothing_off(receivers: str) -> None:
    given = values(f"distributor: {{receivers: {receivers}}}")

    assert False not in given.values()


@pytest.mark.parametrize(
    "text", ["distributor: {receivers: }", "distributor: {receivers: {}}", "distributor: {}"]
)
def test_an_empty_map_leaves_the_defaults(text: str) -> None:
    assert values(text) == {}


def test_sizes_of_the_collector() -> None:
    text = """
distributor:
  receivers:
    otlp:
      protocols:
        grpc: {max_recv_msg_size_mib: 16}
        http: {max_request_body_size: 1000, traces_url_path: /otlp}
    zipkin: {max_request_body_size: 2000}
    jaeger:
      protocols:
        grpc: {max_recv_msg_size_mib: 1}
        thrift_http: {max_request_body_size: 3}
        thrift_compact: {max_packet_size: 4, queue_size: 5, endpoint: "x:6", workers: 7}
"""
    assert switched_on(values(text)) == {
        "distributor.receivers.jaeger.thrift_compact.enabled": True,
        "distributor.receivers.jaeger.thrift_compact.endpoint": "x:6",
        "distributor.receivers.jaeger.thrift_compact.datagram_bytes_max": 4,
        "distributor.receivers.jaeger.thrift_compact.queue_datagrams_max": 5,
        "distributor.receivers.zipkin.enabled": True,
        "distributor.receivers.jaeger.grpc.enabled": True,
        "distributor.receivers.jaeger.grpc.request_bytes_max": 1 << 20,
        "distributor.receivers.jaeger.thrift_http.enabled": True,
        "distributor.receivers.jaeger.thrift_http.request_bytes_max": 3,
        "distributor.receivers.zipkin.request_bytes_max": 2000,
        "distributor.receivers.grpc.enabled": True,
        "distributor.receivers.http.enabled": True,
        "distributor.receivers.grpc.request_bytes_max": 16 << 20,
        "distributor.receivers.http.request_bytes_max": 1000,
        "distributor.receivers.http.traces_url_path": "/otlp",
    }


def test_a_key_without_meaning_is_one_warning_with_line_and_path() -> None:
    text = """
memberlist:
  join_members: [a, b]
  bind_port: 7946
storage:
  trace:
    gcs: {bucket_name: b, endpoint: e}
"""
    warnings = read_yaml(text, source="t.yaml").warnings

    assert [warning.split(" has no effect: ")[0] for warning in warnings] == [
        "t.yaml:3: memberlist.join_members",
        "t.yaml:4: memberlist.bind_port",
        "t.yaml:7: storage.trace.gcs",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "t.yaml:1: "),
        ("server:\n\thttp_listen_port: 1", "t.yaml:2: found character"),
        ("- a", "t.yaml:1: expected keys and values at the top"),
        ("text", "t.yaml:1: expected keys and values at the top"),
        ("a: 1\n---\nb: 2", "expected a single document"),
        (
            "server: {log_level: info}\nserver: {}",
            "t.yaml:2: server is given twice, first in line 1",
        ),
        ("server: [1]", "t.yaml:1: server: expected keys and values, got a list"),
        ("server: 5", "t.yaml:1: server is a section, not a value"),
        ("server: {http_listen_port: {}}", "server.http_listen_port: expected a value"),
        ("server: {http_listen_port: [1]}", "expected a value, got a list"),
        ("server:\n  http_listen_port: x", "t.yaml:2: server.http_listen_port: expected a whole"),
        ("ingester:\n  max_block_duration: 30", "expected a duration with a unit, such as"),
        (
            "ingester:\n  max_block_bytes: big",
            "t.yaml:2: ingester.max_block_bytes: expected a size",
        ),
        ("ingester:\n  max_blok_bytes: 1", "unknown key ingester.max_blok_bytes; the nearest"),
        ("{[1, 2]: 3}", "t.yaml:1: a key must be a text"),
        ("server: {http_tls_config: {cert_file: x}}", "TLS is not supported yet"),
        (
            "ingester: {max_block_duration: 1m}\nlive_store: {max_block_duration: 2m}",
            "t.yaml:2: live_store.max_block_duration = 2m contradicts t.yaml:1",
        ),
        ("server: *nowhere", "t.yaml:1: found undefined alias"),
        ("a: \x00", "t.yaml: "),
    ],
)
def test_mistakes_are_one_line_with_the_place(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        values(text)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "server: {http_tls_config: {}, grpc_tls_config: }",
        "server: {http_tls_config: {cert_file: '', key_file: null, client_auth_type: \"\"}}",
        "server: {grpc_tls_config: {insecure: false, ciphers: [], ca: {file: }}}",
    ],
)
def test_what_is_refused_may_be_off(text: str) -> None:
    layer = read_yaml(text, source="t.yaml")

    assert (layer.values, layer.warnings) == ({}, [])


@pytest.mark.parametrize("key", ["multitenancy_enabled", "auth_enabled"])
def test_tenants_are_switched_on_by_both_names(key: str) -> None:
    assert values(f"{key}: true") == {"multitenancy_enabled": True}


def test_the_same_said_twice_is_fine() -> None:
    text = "ingester: {max_block_duration: 60s}\nlive_store: {max_block_duration: 1m}"

    assert values(text) == {"ingester.max_block_duration_s": 60.0}


def test_zero_of_the_collector_is_its_default() -> None:
    text = """
distributor:
  receivers:
    otlp:
      protocols:
        grpc: {max_recv_msg_size_mib: 0}
        http: {max_request_body_size: 0}
    zipkin: {max_request_body_size: 0}
    jaeger: {protocols: {grpc: {max_recv_msg_size_mib: 0}, thrift_http: {max_request_body_size: 0}}}
"""
    assert switched_on(values(text)) == {
        "distributor.receivers.zipkin.enabled": True,
        "distributor.receivers.jaeger.grpc.enabled": True,
        "distributor.receivers.jaeger.thrift_http.enabled": True,
        "distributor.receivers.grpc.enabled": True,
        "distributor.receivers.http.enabled": True,
    }


def test_limits_of_tenants_have_the_keys_and_units_of_tempo() -> None:
    text = """
overrides:
  defaults:
    ingestion: {rate_limit_bytes: 0, burst_size_bytes: 1_000, max_traces_per_user: 1e4}
    read: {max_search_duration: 7d, left_pad_trace_ids: true}
    global: {max_bytes_per_trace: 0}
    compaction: {block_retention: 0}
  per_tenant_override_period: 5s
"""
    assert values(text) == {
        "overrides.defaults.ingestion.rate_limit_bytes": 0,
        "overrides.defaults.ingestion.burst_size_bytes": 1000,
        "overrides.defaults.ingestion.max_traces_per_user": 10_000,
        "overrides.defaults.read.max_search_duration_s": 604800.0,
        "overrides.defaults.read.left_pad_trace_ids": True,
        "overrides.defaults.global.max_bytes_per_trace": 0,
        "overrides.defaults.compaction.block_retention_s": 0,
        "overrides.per_tenant_override_period_s": 5.0,
    }


def test_the_flat_format_means_the_same_and_is_warned_of_once() -> None:
    layer = read_yaml(
        "overrides: {ingestion_rate_limit_bytes: 5, max_bytes_per_trace: 6, block_retention: 0}",
        source="t.yaml",
    )

    assert {path: given.value for path, given in layer.values.items()} == {
        "overrides.defaults.ingestion.rate_limit_bytes": 5,
        "overrides.defaults.global.max_bytes_per_trace": 6,
        "overrides.defaults.compaction.block_retention_s": 0,
    }
    (warning,) = layer.warnings
    assert warning == (
        "t.yaml:1: overrides.ingestion_rate_limit_bytes is of the flat format of Tempo 2.x, which "
        "goes away: write overrides.defaults.ingestion.rate_limit_bytes, and the others alike"
    )


def test_a_false_positive_rate_becomes_bits() -> None:
    text = "storage: {trace: {block: {bloom_filter_false_positive: 0.01}}}"

    assert values(text) == {"storage.block.filter_bits_per_value": 10}


def test_a_list_may_be_written_as_one() -> None:
    expected = {"members.static": ("a:1", "b:2")}

    assert values("members: {static: ['a:1', 'b:2']}") == expected
    assert values("members: {static: 'a:1, b:2'}") == expected
    assert values("members: {static: []}") == {"members.static": ()}


@pytest.mark.parametrize("text", ["[{a: 1}]", "[['a:1']]", "['a:1,b:2']"])
def test_a_list_holds_texts(text: str) -> None:
    with pytest.raises(SettingsError, match=r"t\.yaml:1: members\.static: expected texts"):
        values(f"members: {{static: {text}}}")
