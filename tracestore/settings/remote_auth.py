"""How requests of remote write prove who sends them: Prometheus' ``http_config``.

Secrets never appear in ``repr``. A secret in a file is read anew for each request, so that it may
be renewed under a running process.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from tracestore.errors import SettingsError
from tracestore.settings.mappings import Entry

_RESERVED: Final = frozenset(
    {
        "content-encoding",
        "content-type",
        "content-length",
        "transfer-encoding",
        "x-prometheus-remote-write-version",
        "user-agent",
        "host",
        "connection",
    }
)
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TLS_VERSIONS: Final = ("", "TLS10", "TLS11", "TLS12", "TLS13")


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicAuth:
    """User and password, each as text or in a file."""

    username: str = ""
    username_file: str = ""
    password: str = field(default="", repr=False)
    password_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """An ``Authorization`` header of another type; a bearer token is one."""

    type: str = "Bearer"
    credentials: str = field(default="", repr=False)
    credentials_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """TLS with the receiver. Certificates and keys are PEM, as text or in a file."""

    ca: str = field(default="", repr=False)
    ca_file: str = ""
    cert: str = field(default="", repr=False)
    cert_file: str = ""
    key: str = field(default="", repr=False)
    key_file: str = ""
    server_name: str = ""
    """Name that the certificate must have; empty: the host of the URL."""
    insecure_skip_verify: bool = False
    """Whether any certificate is taken."""
    min_version: str = ""
    """``TLS12`` or ``TLS13``; empty: TLS 1.2."""
    max_version: str = ""


def parse_basic_auth(entry: Entry) -> BasicAuth | None:
    """Read ``basic_auth``. Raises: SettingsError."""
    if not entry.has("basic_auth"):
        return None
    below = entry.section("basic_auth")
    found = BasicAuth(
        username=below.text("username"),
        username_file=below.text("username_file"),
        password=below.text("password"),
        password_file=below.text("password_file"),
    )
    below.finish()
    _one_of(below, "username", "username_file")
    _one_of(below, "password", "password_file")
    if not (found.username or found.username_file):
        raise SettingsError(f"{below.where}: username or username_file is missing")
    return found


def parse_authorization(entry: Entry) -> Authorization | None:
    """Read ``authorization``, or the older ``bearer_token`` and kin. Raises: SettingsError."""
    below = entry.section("authorization")
    token, file = entry.text("bearer_token"), entry.text("bearer_token_file")
    if token or file:
        _one_of(entry, "bearer_token", "bearer_token_file")
        if below.config:
            raise SettingsError(
                f"{entry.where}: authorization and bearer_token are both set: take authorization"
            )
        return Authorization(credentials=token, credentials_file=file)
    if not below.config:
        return None
    found = Authorization(
        type=below.text("type").strip() or "Bearer",
        credentials=below.text("credentials"),
        credentials_file=below.text("credentials_file"),
    )
    below.finish()
    _one_of(below, "credentials", "credentials_file")
    if found.type.lower() == "basic":
        raise SettingsError(f"{below.where}.type: use basic_auth for Basic")
    if not (found.credentials or found.credentials_file):
        raise SettingsError(f"{below.where}: credentials or credentials_file is missing")
    return found


def parse_tls(entry: Entry) -> TlsSettings:
    """Read ``tls_config``. Raises: SettingsError."""
    found = TlsSettings(
        ca=entry.text("ca"),
        ca_file=entry.text("ca_file"),
        cert=entry.text("cert"),
        cert_file=entry.text("cert_file"),
        key=entry.text("key"),
        key_file=entry.text("key_file"),
        server_name=entry.text("server_name"),
        insecure_skip_verify=entry.boolean("insecure_skip_verify", False),
        min_version=entry.text("min_version"),
        max_version=entry.text("max_version"),
    )
    entry.finish()
    for name in ("ca", "cert", "key"):
        _one_of(entry, name, f"{name}_file")
    if bool(found.cert or found.cert_file) != bool(found.key or found.key_file):
        raise SettingsError(f"{entry.where}: a certificate needs its key, as a key does it")
    for name in ("min_version", "max_version"):
        if getattr(found, name) not in _TLS_VERSIONS:
            raise SettingsError(f"{entry.where}.{name}: expected TLS12 or TLS13")
    return found


def parse_headers(entry: Entry, *, has_auth: bool) -> tuple[tuple[str, str], ...]:
    """Read ``headers``, and ``http_headers`` with one value each. Raises: SettingsError."""
    pairs = list(entry.pairs("headers"))
    below = entry.section("http_headers")
    for name in below.config:
        values = below.section(name)
        texts = [*values.texts("values"), *values.texts("secrets")]
        if values.has("files"):
            raise SettingsError(f"{values.where}.files is not supported: give values or secrets")
        values.finish()
        pairs.append((name, ", ".join(texts)))
    for name, value in pairs:
        check_header(name, value, f"{entry.where}.headers")
        if has_auth and name.lower() == "authorization":
            raise SettingsError(
                f"{entry.where}.headers: {name} is set by basic_auth or authorization already"
            )
    return tuple(pairs)


def check_header(name: str, value: str, where: str) -> None:
    """Refuse a header that the protocol sets itself, or that would be no header.

    Raises: SettingsError.
    """
    if not _TOKEN.fullmatch(name):
        raise SettingsError(f"{where}: {name!r} is no name of a header")
    if name.lower() in _RESERVED:
        raise SettingsError(f"{where}: {name} is set by the protocol and cannot be changed")
    if any(c in value for c in "\r\n\0") or not value.isascii():
        raise SettingsError(f"{where}: the value of {name} holds a line end or is not ASCII")


def _one_of(entry: Entry, one: str, other: str) -> None:
    if entry.config.get(one) and entry.config.get(other):
        raise SettingsError(f"{entry.where}: {one} and {other} are both set: take one")
