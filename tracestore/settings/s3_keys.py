"""What Tempo's keys of S3 mean here, and which values of ours can be worked with."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from tracestore.settings import units

_TEMPO = "storage.trace.s3"
_OURS = "storage.s3"
_SAME = (
    *("bucket", "prefix", "endpoint", "region", "access_key", "secret_key", "session_token"),
    *("insecure", "forcepathstyle", "insecure_skip_verify", "storage_class"),
    *("tls_ca_path", "tls_cert_path", "tls_key_path", "sse.type", "sse.kms_key_id"),
)
_LOOKUPS = {"": "auto", "0": "auto", "1": "dns", "2": "path"}
_ENDPOINT = re.compile(
    r"(https?://)?(\[[0-9a-fA-F:.%\w]+\]|[^:\[\]/\s]+)(:(?P<port>[0-9]{1,5}))?/?"
)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
PART_BYTES_MIN: Final = 5 << 20
PART_BYTES_MAX: Final = 5 << 30


def _lookup(text: str) -> str:
    return _LOOKUPS.get(text.lower(), text.lower())


def _part_bytes(text: str) -> int:
    """Parse the size of a part, where 0 is the default of Tempo's client: 16 MiB."""
    return units.parse_size(text) or 16 << 20


MEANT: Final[dict[str, str | tuple[str, Callable[[str], object]]]] = {
    **{f"{_TEMPO}.{key}": f"{_OURS}.{key}" for key in _SAME},
    f"{_TEMPO}.tls_insecure_skip_verify": f"{_OURS}.insecure_skip_verify",
    f"{_TEMPO}.bucket_lookup_type": (f"{_OURS}.bucket_lookup_type", _lookup),
    f"{_TEMPO}.part_size": (f"{_OURS}.part_bytes", _part_bytes),
}
IGNORED: Final[dict[str, str]] = {
    "requests are made again within the bounds of storage.s3, and reads are cached": f"""
        {_TEMPO}.{{hedge_requests_at,hedge_requests_up_to,list_blocks_concurrency}}
    """,
    "objects carry no tags": f"{_TEMPO}.{{tags,metadata}}",
    "the usual AWS chain of credentials holds, with Signature Version 4": f"""
        {_TEMPO}.{{native_aws_auth_enabled,signature_v2,checksum_type}}
    """,
    "name such an endpoint by storage.s3.endpoint": f"""
        {_TEMPO}.{{use_dual_stack,enable_dual_stack,use_accelerate_endpoint}}
    """,
    "TLS is as Python's library has it": f"""
        {_TEMPO}.{{tls_server_name,tls_cipher_suites,tls_min_version,tls_max_version}}
    """,
}
"""Reason -> keys that are accepted with a warning."""
REFUSED: Final[dict[str, str]] = {
    "keys of the customer are not supported, and objects would be stored without": f"""
        {_TEMPO}.sse.{{kms_encryption_context,encryption_key}}
    """,
}
"""Reason -> keys that would be dangerous to pass over."""


def wrong_s3(path: str, value: object) -> str | None:
    """Say what is wrong with a value of ``storage.s3`` by itself, None if nothing is."""
    if path == "storage.s3.endpoint":
        match = _ENDPOINT.fullmatch(str(value))
        if value and (match is None or int(match["port"] or 1) > 65535):
            return "expected host or host:port, such as s3.eu-central-1.amazonaws.com"
    if path == "storage.s3.bucket" and value and not _BUCKET.fullmatch(str(value)):
        return "expected the name of a bucket"
    if path == "storage.s3.prefix":
        parts = str(value).strip("/").split("/")
        if value and any(part in ("", ".", "..") for part in parts):
            return "expected a prefix such as tracestore or team/traces"
    if path != "storage.s3.part_bytes" or not isinstance(value, int):
        return None
    if PART_BYTES_MIN <= value <= PART_BYTES_MAX:
        return None
    return f"expected {PART_BYTES_MIN} to {PART_BYTES_MAX} bytes"
