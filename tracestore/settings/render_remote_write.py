"""An entry of ``remote_write`` as it is shown to people: secrets are masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tracestore.settings.mask import MASK
from tracestore.settings.relabel import rule_as_mapping
from tracestore.settings.remote_auth import TlsSettings
from tracestore.settings.remote_write import RemoteWriteSettings, without_secrets

_TLS_SHOWN: Final = (
    "ca_file",
    "cert_file",
    "key_file",
    "server_name",
    "insecure_skip_verify",
    "min_version",
    "max_version",
)


def render_remote_write(remote: RemoteWriteSettings) -> Mapping[str, object]:
    """Write an entry with the keys of Prometheus; every value of a header is a secret."""
    shown: dict[str, Any] = {
        "name": remote.name,
        "url": remote.shown_url,
        "remote_timeout": f"{remote.remote_timeout_s:g}s",
        "headers": {name: MASK for name, _ in remote.headers},
        "follow_redirects": remote.follow_redirects,
        "protobuf_message": remote.protobuf_message,
        "proxy_url": without_secrets(remote.proxy_url),
        "tls_config": _tls(remote.tls),
        "write_relabel_configs": [dict(rule_as_mapping(r)) for r in remote.write_relabel_rules],
        "queue_config": {
            "max_shards": remote.queue.max_shards,
            "max_samples_per_send": remote.queue.max_samples_per_send,
            "min_backoff": f"{remote.queue.min_backoff_s:g}s",
            "max_backoff": f"{remote.queue.max_backoff_s:g}s",
            "retry_on_http_429": remote.queue.retry_on_http_429,
            "sample_age_limit": f"{remote.queue.sample_age_limit_s:g}s",
        },
        "metadata_config": {
            "send": remote.metadata.send,
            "send_interval": f"{remote.metadata.send_interval_s:g}s",
            "max_samples_per_send": remote.metadata.max_samples_per_send,
        },
    }
    if remote.basic_auth is not None:
        auth = remote.basic_auth
        shown["basic_auth"] = _given(
            username=auth.username,
            username_file=auth.username_file,
            password=auth.password and MASK,
            password_file=auth.password_file,
        )
    if remote.authorization is not None:
        other = remote.authorization
        shown["authorization"] = _given(
            type=other.type,
            credentials=other.credentials and MASK,
            credentials_file=other.credentials_file,
        )
    return shown


def _tls(tls: TlsSettings) -> dict[str, object]:
    inline = {name: MASK for name in ("ca", "cert", "key") if getattr(tls, name)}
    return inline | _given(**{name: getattr(tls, name) for name in _TLS_SHOWN})


def _given(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value}
