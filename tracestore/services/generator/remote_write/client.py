"""Requests to one receiver of remote write, on connections that are kept.

Blocks; for threads of a pool. Secrets in files, and certificates, are read anew when they change.
"""

from __future__ import annotations

import os
import ssl
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urljoin, urlsplit

import urllib3

from tracestore.errors import UnavailableError
from tracestore.settings.remote_auth import TlsSettings
from tracestore.settings.remote_write import RemoteWriteSettings, basic_credentials

_REDIRECTS_MAX: Final = 5
_REDIRECTS: Final = frozenset({307, 308})
_MESSAGE_BYTES_MAX: Final = 512
_TLS_VERSIONS: Final = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a receiver said."""

    status: int
    headers: Mapping[str, str]
    """Names in small letters."""
    message: str
    """The start of the body, in one line."""


class RemoteClient:
    """Posts to the URL of a receiver. Thread-safe."""

    def __init__(self, remote: RemoteWriteSettings, *, connections: int) -> None:
        self._remote = remote
        self._connections = connections
        self._lock = threading.Lock()
        self._manager: urllib3.PoolManager | None = None
        self._stamp: object = None
        """Of the files that the manager was made of."""

    def post(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Send a request and read the reply.

        Raises: UnavailableError if there is none, or a file of the settings cannot be read.
        """
        sent = dict(headers) | self._authorization()
        url, target = self._remote.url, urlsplit(self._remote.url).netloc
        for _ in range(_REDIRECTS_MAX + 1):
            if urlsplit(url).netloc != target:
                sent.pop("Authorization", None)
            reply = self._post_once(url, body, sent)
            location = reply.headers.get("location", "")
            if reply.status not in _REDIRECTS or not location or not self._remote.follow_redirects:
                return reply
            url = urljoin(url, location)
        raise UnavailableError(f"{self._remote.shown_url} redirects for ever")

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._manager is not None:
                self._manager.clear()
                self._manager = None

    def _post_once(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        timeout = urllib3.Timeout(total=self._remote.remote_timeout_s)
        try:
            response = self._pools().request(
                "POST", url, body=body, headers=headers, timeout=timeout, retries=False,
                redirect=False, preload_content=False,
            )  # fmt: skip
            try:
                start = response.read(_MESSAGE_BYTES_MAX, decode_content=True)
                response.drain_conn()
            finally:
                response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise UnavailableError(f"no answer of {self._remote.shown_url}: {error}") from error
        return Reply(
            status=response.status,
            headers={name.lower(): value for name, value in response.headers.items()},
            message=" ".join(start.decode("utf-8", "replace").split()),
        )

    def _authorization(self) -> dict[str, str]:
        basic, other = self._remote.basic_auth, self._remote.authorization
        if basic is not None:
            username = basic.username or _secret(basic.username_file)
            password = basic.password or _secret(basic.password_file)
            return {"Authorization": basic_credentials(username, password)}
        if other is not None:
            credentials = other.credentials or _secret(other.credentials_file)
            return {"Authorization": f"{other.type} {credentials}"}
        return {}

    def _pools(self) -> urllib3.PoolManager:
        tls = self._remote.tls
        stamp = tuple(_stamp(path) for path in (tls.ca_file, tls.cert_file, tls.key_file) if path)
        with self._lock:
            if self._manager is None or stamp != self._stamp:
                self._manager, self._stamp = self._make_pools(), stamp
            return self._manager

    def _make_pools(self) -> urllib3.PoolManager:
        kept: dict[str, Any] = {"num_pools": 4, "maxsize": self._connections}
        if urlsplit(self._remote.url).scheme == "https":
            kept["ssl_context"] = tls_context(self._remote.tls)
            if self._remote.tls.server_name:
                kept["server_hostname"] = self._remote.tls.server_name
        proxy = self._remote.proxy_url
        if not proxy:
            return urllib3.PoolManager(**kept)
        parts = urlsplit(proxy)
        headers = dict(self._remote.proxy_headers)
        if parts.username is not None:
            credentials = basic_credentials(unquote(parts.username), unquote(parts.password or ""))
            headers["Proxy-Authorization"] = credentials
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        return urllib3.ProxyManager(bare, proxy_headers=headers, **kept)


def tls_context(tls: TlsSettings) -> ssl.SSLContext:
    """Make what TLS with a receiver needs.

    Raises: UnavailableError if a certificate or key cannot be read; it may be there later.
    """
    context = ssl.create_default_context()
    try:
        if tls.ca or tls.ca_file:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cafile=tls.ca_file or None, cadata=tls.ca or None)
        if tls.cert or tls.cert_file:
            _load_client_certificate(context, tls)
    except (OSError, ValueError) as error:
        raise UnavailableError(f"certificates of tls_config cannot be read: {error}") from error
    context.minimum_version = _TLS_VERSIONS[tls.min_version or "TLS12"]
    if tls.max_version:
        context.maximum_version = _TLS_VERSIONS[tls.max_version]
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _load_client_certificate(context: ssl.SSLContext, tls: TlsSettings) -> None:
    """Load certificate and key; the library wants files, so texts become files for a moment."""
    with tempfile.TemporaryDirectory() as directory:
        cert, key = tls.cert_file, tls.key_file
        if tls.cert:
            cert = _private_file(Path(directory) / "cert.pem", tls.cert)
        if tls.key:
            key = _private_file(Path(directory) / "key.pem", tls.key)
        context.load_cert_chain(cert, key)


def _private_file(path: Path, text: str) -> str:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return str(path)


def _stamp(path: str) -> object:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _secret(path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UnavailableError(f"cannot read the secret in {path}: {error}") from error
