"""Where metrics are written to: one entry of Prometheus' ``remote_write`` list.

The keys and defaults are Prometheus'. What has no meaning here is accepted and said in
``warnings``; what would send samples unsigned or to the wrong place is refused.

Source: Prometheus, "Configuration", ``<remote_write>`` and ``<http_config>``; wire contract, 17.5.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from tracestore.errors import SettingsError
from tracestore.settings.mappings import Entry
from tracestore.settings.relabel import RelabelRule, parse_relabel_rule
from tracestore.settings.remote_auth import (
    Authorization,
    BasicAuth,
    TlsSettings,
    parse_authorization,
    parse_basic_auth,
    parse_headers,
    parse_tls,
)

PROTOBUF_V1: Final = "prometheus.WriteRequest"
PROTOBUF_V2: Final = "io.prometheus.write.v2.Request"

_REFUSED: Final[dict[str, str]] = {
    "sigv4": "requests are not signed for AWS; put a signing proxy before it",
    "oauth2": "there is no OAuth 2 client; use authorization with credentials_file, kept fresh",
    "azuread": "there is no Azure AD client; use authorization with credentials_file, kept fresh",
    "google_iam": "there is no Google IAM client; use authorization with credentials_file",
}
_WITHOUT_MEANING: Final[dict[str, str]] = {
    "round_robin_dns": "connections are kept, and new ones go where the resolver says",
    "enable_http2": "requests are HTTP/1.1 on connections that are kept",
    "proxy_from_environment": "only proxy_url names a proxy",
    "no_proxy": "proxy_url is for this entry alone",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueConfig:
    """How samples leave the queue on disk."""

    max_shards: int = 50
    """Requests to this remote at a time, as far as ``remote_write_concurrency`` lets them."""
    max_samples_per_send: int = 2000
    """Samples and histograms of one request."""
    min_backoff_s: float = 0.03
    """Wait after a failure, doubled after each further one; a random half is taken off."""
    max_backoff_s: float = 5.0
    """Longest such wait; a longer Retry-After is honoured all the same."""
    retry_on_http_429: bool = True
    """Whether a request is made again after 429, as Tempo does; false: its samples are dropped."""
    sample_age_limit_s: float = 0.0
    """Samples older than this are dropped rather than sent; 0: none are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataConfig:
    """Type and help of metrics, sent apart in remote write 1.0; in 2.0 they are in each series."""

    send: bool = True
    """Whether they are sent."""
    send_interval_s: float = 60.0
    """How often."""
    max_samples_per_send: int = 500
    """Metrics of one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteWriteSettings:
    """A receiver of remote write."""

    url: str = field(repr=False)
    """http or https. A user and password in it are taken as ``basic_auth``."""
    name: str
    """What metrics and logs call it; unique."""
    remote_timeout_s: float = 30.0
    """A request that is not answered by then has failed."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Sent with each request; values are secrets."""
    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    tls: TlsSettings = field(default_factory=TlsSettings)
    proxy_url: str = field(default="", repr=False)
    """Of an HTTP proxy; empty: none."""
    proxy_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Sent to the proxy with CONNECT."""
    follow_redirects: bool = True
    """Whether 307 and 308 are followed (others would lose the samples and count as refusals)."""
    write_relabel_rules: tuple[RelabelRule, ...] = ()
    protobuf_message: str = ""
    """``PROTOBUF_V1``: only that. ``PROTOBUF_V2``, or empty: 2.0 where the receiver takes it."""
    queue: QueueConfig = field(default_factory=QueueConfig)
    metadata: MetadataConfig = field(default_factory=MetadataConfig)
    warnings: tuple[str, ...] = field(default=(), compare=False)
    """What was accepted and has no effect, a sentence each, with where it stood."""

    @property
    def shown_url(self) -> str:
        """The URL without what might be secret: for logs and labels of metrics."""
        return without_secrets(self.url)


def parse_remote_write(config: Mapping[str, object], where: str) -> RemoteWriteSettings:
    """Read an entry.

    Args:
        where: as a person would say it, such as
            ``tempo.yaml:12: metrics_generator.storage.remote_write[0]``.

    Raises: SettingsError, which names ``where`` and the key.
    """
    entry = Entry.of(config, where)
    warnings: list[str] = []
    _refuse_and_warn(entry, warnings)
    url, in_url = _url(entry)
    basic_auth = parse_basic_auth(entry) or in_url
    authorization = parse_authorization(entry)
    if basic_auth and authorization:
        raise SettingsError(f"{where}: basic_auth and authorization are both set: take one")
    settings = RemoteWriteSettings(
        url=url,
        name=entry.text("name") or default_name(url),
        remote_timeout_s=entry.seconds("remote_timeout", 30.0),
        headers=parse_headers(entry, has_auth=bool(basic_auth or authorization)),
        basic_auth=basic_auth,
        authorization=authorization,
        tls=parse_tls(entry.section("tls_config")),
        proxy_url=_proxy_url(entry),
        proxy_headers=_proxy_headers(entry),
        follow_redirects=entry.boolean("follow_redirects", True),
        write_relabel_rules=tuple(
            parse_relabel_rule(rule, at) for rule, at in entry.items("write_relabel_configs")
        ),
        protobuf_message=_protobuf_message(entry),
        queue=_queue(entry.section("queue_config"), warnings),
        metadata=_metadata(entry.section("metadata_config")),
        warnings=tuple(warnings),
    )
    entry.finish()
    return settings


def check_names(remotes: tuple[RemoteWriteSettings, ...]) -> None:
    """Refuse two entries of one name: their queues and metrics could not be told apart.

    Raises: SettingsError.
    """
    seen: set[str] = set()
    for remote in remotes:
        if remote.name in seen:
            raise SettingsError(
                f"metrics_generator.storage.remote_write: two entries are named {remote.name}: "
                f"give each a name of its own"
            )
        seen.add(remote.name)


def default_name(url: str) -> str:
    """Name an entry that has no name: by where it goes, the same after each start."""
    digest = binascii.crc32(without_secrets(url).encode())
    return f"{urlsplit(url).hostname}-{digest:08x}"


def without_secrets(url: str) -> str:
    """Take user, password and the values of parameters out of a URL."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    query = "&".join(f"{pair.partition('=')[0]}=xxxxx" for pair in parts.query.split("&") if pair)
    return parts._replace(netloc=host, query=query, fragment="").geturl()


def _refuse_and_warn(entry: Entry, warnings: list[str]) -> None:
    for key, reason in _REFUSED.items():
        if entry.has(key):
            raise SettingsError(f"{entry.where}.{key}: {reason}")
    for key, reason in _WITHOUT_MEANING.items():
        if entry.has(key):
            warnings.append(f"{entry.where}.{key} has no effect: {reason}")
    if not entry.boolean("send_exemplars", True):
        warnings.append(f"{entry.where}.send_exemplars has no effect: exemplars are always sent")
    if entry.has("send_native_histograms"):
        entry.boolean("send_native_histograms", True)
        warnings.append(
            f"{entry.where}.send_native_histograms has no effect: the override "
            f"generate_native_histograms of a tenant decides"
        )


def _url(entry: Entry) -> tuple[str, BasicAuth | None]:
    url = entry.text("url").strip()
    if not url:
        raise SettingsError(f"{entry.where}: url is missing; such as http://host:9090/api/v1/write")
    _check_url(url, f"{entry.where}.url", ("http", "https"))
    parts = urlsplit(url)
    if parts.username is None:
        return url, None
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return bare, BasicAuth(username=parts.username, password=parts.password or "")


def _check_url(url: str, where: str, schemes: tuple[str, ...]) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise SettingsError(f"{where}: no URL: {error}") from error
    if parts.scheme not in schemes or not parts.hostname:
        raise SettingsError(
            f"{where}: expected {' or '.join(schemes)}://host…, got {without_secrets(url)!r}"
        )


def _proxy_url(entry: Entry) -> str:
    url = entry.text("proxy_url").strip()
    if url:
        _check_url(url, f"{entry.where}.proxy_url", ("http", "https"))
    return url


def _proxy_headers(entry: Entry) -> tuple[tuple[str, str], ...]:
    below = entry.section("proxy_connect_header")
    return tuple((name, ", ".join(below.texts(name))) for name in below.config)


def _protobuf_message(entry: Entry) -> str:
    message = entry.text("protobuf_message")
    if message not in ("", PROTOBUF_V1, PROTOBUF_V2):
        raise SettingsError(
            f"{entry.where}.protobuf_message: expected {PROTOBUF_V1} or {PROTOBUF_V2}, "
            f"got {message!r}"
        )
    return message


def _queue(entry: Entry, warnings: list[str]) -> QueueConfig:
    for key, reason in (
        ("capacity", "the queue is on disk; see remote_write_queue.bytes_max"),
        ("min_shards", "there are as many requests at a time as there are batches"),
        ("batch_send_deadline", "a collection is sent as soon as it is there"),
    ):
        if entry.has(key):
            warnings.append(f"{entry.where}.{key} has no effect: {reason}")
    entry.integer("capacity", 10_000, least=1)
    entry.integer("min_shards", 1, least=1)
    entry.seconds("batch_send_deadline", 5.0)
    queue = QueueConfig(
        max_shards=entry.integer("max_shards", 50, least=1),
        max_samples_per_send=entry.integer("max_samples_per_send", 2000, least=1),
        min_backoff_s=entry.seconds("min_backoff", 0.03),
        max_backoff_s=entry.seconds("max_backoff", 5.0),
        retry_on_http_429=entry.boolean("retry_on_http_429", True),
        sample_age_limit_s=entry.seconds("sample_age_limit", 0.0, positive=False),
    )
    if queue.min_backoff_s > queue.max_backoff_s:
        raise SettingsError(f"{entry.where}: min_backoff is longer than max_backoff")
    entry.finish()
    return queue


def _metadata(entry: Entry) -> MetadataConfig:
    metadata = MetadataConfig(
        send=entry.boolean("send", True),
        send_interval_s=entry.seconds("send_interval", 60.0),
        max_samples_per_send=entry.integer("max_samples_per_send", 500, least=1),
    )
    entry.finish()
    return metadata


def basic_credentials(username: str, password: str) -> str:
    """Write user and password as the value of an ``Authorization`` header."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
