"""The client of boto3, as the settings ask for it."""

from __future__ import annotations

import re
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from tracestore.errors import SettingsError
from tracestore.settings.s3_tree import S3Settings

DEFAULT_REGION = "us-east-1"
_AMAZON = (".amazonaws.com", ".amazonaws.com.cn")
_REGION = re.compile(
    r"\bs3[.-](?:dualstack\.|fips\.)?([a-z]{2}(?:-[a-z]+)+-[0-9]+)\.amazonaws\.com"
)
_STYLES = {"auto": "auto", "path": "path", "dns": "virtual"}


def make_client(settings: S3Settings) -> Any:
    """Make a client; nothing is asked of the store yet. Thread-safe.

    Raises: SettingsError for what the library does not take.
    """
    style: Any = _style(settings)
    certificate: str | tuple[str, str] | None = settings.tls_cert_path or None
    if certificate is not None and settings.tls_key_path:
        certificate = (settings.tls_cert_path, settings.tls_key_path)
    config = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=settings.connect_timeout_s,
        read_timeout=settings.read_timeout_s,
        max_pool_connections=settings.connections_max,
        s3={"addressing_style": style},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        client_cert=certificate,
        tcp_keepalive=True,
    )
    verify: bool | str | None = settings.tls_ca_path or None
    if settings.insecure_skip_verify:
        verify = False
    try:
        session = boto3.session.Session(
            aws_access_key_id=settings.access_key or None,
            aws_secret_access_key=settings.secret_key or None,
            aws_session_token=settings.session_token or None,
            region_name=settings.region or None,
        )
        return session.client(
            "s3",
            region_name=(
                settings.region
                or _region_of(settings.endpoint)
                or session.region_name
                or DEFAULT_REGION
            ),
            endpoint_url=endpoint_url(settings),
            verify=verify,
            config=config,
        )
    except (BotoCoreError, ValueError, OSError) as error:
        raise SettingsError(f"storage.s3: cannot make a client: {error}") from error


def _style(settings: S3Settings) -> str:
    """Choose where the bucket stands: in the host for Amazon, in the path elsewhere."""
    if settings.forcepathstyle:
        return "path"
    style = _STYLES[settings.bucket_lookup_type]
    is_amazon = _host(settings.endpoint).endswith(_AMAZON)
    if style == "auto" and is_amazon and "." not in settings.bucket:  # certificates know one level
        return "virtual"
    return style


def _region_of(endpoint: str) -> str:
    """Read the region out of an endpoint of Amazon; empty if it names none."""
    match = _REGION.search(_host(endpoint))
    return "" if match is None else match[1]


def _host(endpoint: str) -> str:
    return endpoint.rpartition("://")[2].partition("/")[0].partition(":")[0]


def endpoint_url(settings: S3Settings) -> str | None:
    """Get the URL of the store, None for Amazon's own of the region."""
    endpoint = settings.endpoint.rstrip("/")
    if not endpoint:
        return None
    if "://" in endpoint:
        return endpoint
    return f"{'http' if settings.insecure else 'https'}://{endpoint}"
