"""Entries of ``remote_write``: what is taken, refused, warned of, and shown."""

from __future__ import annotations

import pytest
import yaml

from tracestore.errors import SettingsError
from tracestore.settings.remote_write import (
    RemoteWriteSettings,
    check_names,
    parse_remote_write,
)
from tracestore.settings.render_remote_write import render_remote_write

WHERE = "tempo.yaml:3: remote_write[0]"


def parse(text: str) -> RemoteWriteSettings:
    return parse_remote_write(yaml.safe_load(text), WHERE)


def parse_texts(text: str) -> RemoteWriteSettings:
    """Parse with all scalars as texts, as the settings file is read."""
    return parse_remote_write(yaml.load(text, Loader=yaml.BaseLoader), WHERE)


FULL = """
url: https://bob:hunter2@mimir.example:8080/api/v1/push?token=abc
remote_timeout: 10s
headers: {X-Extra: topsecret}
tls_config: {ca_file: /ca.pem, server_name: mimir, insecure_skip_verify: true}
proxy_url: http://user:pw@proxy:3128
follow_redirects: false
protobuf_message: prometheus.WriteRequest
send_exemplars: true
write_relabel_configs:
  - {source_labels: [service, kind], regex: 'a;(.*)', target_label: 'x_$1', replacement: '${1}y'}
  - {action: labeldrop, regex: tmp_.*}
queue_config: {max_shards: 3, max_samples_per_send: 500, min_backoff: 50ms, max_backoff: 1m}
metadata_config: {send: false, send_interval: 5m}
"""


@pytest.mark.parametrize("parser", [parse, parse_texts])
def test_every_key_arrives(parser) -> None:  # type: ignore[no-untyped-def]
    remote = parser(FULL)
    assert remote.url == "https://mimir.example:8080/api/v1/push?token=abc"
    assert remote.shown_url == "https://mimir.example:8080/api/v1/push?token=xxxxx"
    assert remote.basic_auth.username == "bob"
    assert remote.basic_auth.password == "hunter2"
    assert remote.remote_timeout_s == 10
    assert remote.tls.insecure_skip_verify
    assert not remote.follow_redirects
    assert remote.protobuf_message == "prometheus.WriteRequest"
    assert [rule.action for rule in remote.write_relabel_rules] == ["replace", "labeldrop"]
    assert remote.queue.max_samples_per_send == 500
    assert remote.queue.max_backoff_s == 60
    assert not remote.metadata.send
    assert not remote.warnings


def test_defaults_are_those_of_prometheus_but_for_429() -> None:
    remote = parse("url: http://p:9090/api/v1/write")
    assert remote.remote_timeout_s == 30
    assert remote.queue.max_samples_per_send == 2000
    assert remote.queue.retry_on_http_429
    assert remote.name == parse("url: http://p:9090/api/v1/write").name
    assert remote.name != parse("url: http://p:9091/api/v1/write").name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "url is missing"),
        ("url: ftp://x", r"remote_write\[0\]\.url: expected http or https"),
        ("url: http://x:port", "no URL"),
        ("{url: 'http://x', remote_timout: 3s}", "unknown key remote_timout.*remote_timeout"),
        ("{url: 'http://x', remote_timeout: 30}", "remote_timeout: expected a duration"),
        ("{url: 'http://x', remote_timeout: 0s}", "must be above 0"),
        ("{url: 'http://x', queue_config: {max_shard: 3}}", "queue_config: .*max_shards"),
        ("{url: 'http://x', queue_config: {max_shards: 0}}", "must be 1 or more"),
        ("{url: 'http://x', queue_config: [1]}", "expected a mapping, got a list"),
        ("{url: 'http://x', queue_config: {min_backoff: 9s}}", "longer than max_backoff"),
        ("{url: 'http://x', sigv4: {region: a}}", "not signed for AWS"),
        ("{url: 'http://x', oauth2: {client_id: a}}", "no OAuth 2"),
        ("{url: 'http://x', azuread: {cloud: a}}", "no Azure AD"),
        ("{url: 'http://x', basic_auth: {password: a}}", "username or username_file"),
        ("{url: 'http://x', basic_auth: {username: a, password: b, password_file: c}}", "both"),
        ("{url: 'http://x', basic_auth: {username: a}, bearer_token: b}", "take one"),
        ("{url: 'http://x', authorization: {type: Basic, credentials: b}}", "use basic_auth"),
        ("{url: 'http://x', bearer_token: a, bearer_token_file: b}", "take one"),
        ("{url: 'http://x', headers: {Content-Type: a}}", "set by the protocol"),
        ("{url: 'http://x', headers: {'X Y': a}}", "no name of a header"),
        ('{url: "http://x", headers: {X: "a\\nb"}}', "line end"),
        ("{url: 'http://x', tls_config: {cert_file: a}}", "needs its key"),
        ("{url: 'http://x', protobuf_message: v2}", "expected prometheus.WriteRequest or"),
        ("{url: 'http://x', write_relabel_configs: {action: drop}}", "expected a list"),
        ("{url: 'http://x', write_relabel_configs: [{action: dorp}]}", "unknown action 'dorp'"),
        ("{url: 'http://x', write_relabel_configs: [{regex: '('}]}", "no regular expression"),
        ("{url: 'http://x', write_relabel_configs: [{action: replace}]}", "needs target_label"),
        (
            "{url: 'http://x', write_relabel_configs: [{action: hashmod, target_label: a}]}",
            "modulus",
        ),
        (
            "{url: 'http://x', write_relabel_configs: [{action: labeldrop, source_labels: [a]}]}",
            "takes no source_labels",
        ),
        (
            "{url: 'http://x', write_relabel_configs: [{action: lowercase, target_label: a-b}]}",
            "no name of a label",
        ),
    ],
)
def test_what_is_wrong_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        parse(text)
    assert str(caught.value).startswith(WHERE)


def test_what_has_no_meaning_is_warned_of() -> None:
    remote = parse(
        "{url: 'http://x', send_exemplars: false, enable_http2: true, round_robin_dns: true, "
        "queue_config: {capacity: 5, min_shards: 2, batch_send_deadline: 1s}}"
    )
    assert len(remote.warnings) == 6
    assert all(warning.startswith(WHERE) for warning in remote.warnings)


def test_secrets_are_not_shown() -> None:
    remote = parse(FULL + "name: main\n")
    shown = f"{yaml.safe_dump(dict(render_remote_write(remote)))}{remote!r}"
    for secret in ("hunter2", "topsecret", "abc", "user:pw"):
        assert secret not in shown
    token = parse("{url: 'http://x', bearer_token: s3cret}")
    assert "s3cret" not in f"{render_remote_write(token)}{token!r}"


def test_two_entries_of_one_name_are_refused() -> None:
    remote = parse("{url: 'http://x', name: a}")
    check_names((remote, parse("{url: 'http://x', name: b}")))
    with pytest.raises(SettingsError, match="two entries are named a"):
        check_names((remote, remote))
