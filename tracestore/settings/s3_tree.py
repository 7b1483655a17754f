"""Settings of an object store that speaks S3."""

from __future__ import annotations

from dataclasses import dataclass, field

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class S3EncryptionSettings:
    """Encryption of objects by the store itself."""

    type: str = ""
    """empty (what the bucket does by itself), SSE-S3 or SSE-KMS."""
    kms_key_id: str = ""
    """Key of SSE-KMS; empty: the account's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """A bucket of any store that speaks S3 and keeps conditional writes."""

    bucket: str = ""
    """Name of the bucket. It must be there."""
    prefix: str = ""
    """Everything lies below this prefix; several clusters can share a bucket."""
    endpoint: str = ""
    """host or host:port, with or without ``https://``; empty: Amazon's of the region."""
    region: str = ""
    """Region of the bucket; empty: that of an endpoint of Amazon, else as the AWS settings of the
    environment say, else us-east-1."""
    access_key: str = ""
    """Access key; empty: the usual AWS chain (environment, files, web identity, instance)."""
    secret_key: str = ""
    """Secret of the access key."""
    session_token: str = ""
    """Token of temporary credentials."""
    insecure: bool = False
    """Whether it is http instead of https, where the endpoint does not say."""
    insecure_skip_verify: bool = False
    """Whether any certificate is taken."""
    tls_ca_path: str = ""
    """File with the certificates that may sign the store's; empty: those of the system."""
    tls_cert_path: str = ""
    """File with the certificate of this client, if the store asks for one."""
    tls_key_path: str = ""
    """File with the key of that certificate."""
    forcepathstyle: bool = False
    """Whether the bucket is in the path of the URL also for Amazon; elsewhere it always is, unless
    ``bucket_lookup_type`` is dns."""
    bucket_lookup_type: str = "auto"
    """auto, path, or dns (the bucket is the first part of the host)."""
    storage_class: str = ""
    """Storage class of new objects; empty: the bucket's."""
    sse: S3EncryptionSettings = field(default_factory=S3EncryptionSettings)
    part_bytes: int = 16 * MIB
    """Larger objects are sent in parts of this size, 5 MiB at least."""
    upload_concurrency: int = 4
    """Parts of an object that are sent at a time."""
    read_gap_bytes: int = 128 * 1024
    """Ranges of an object that are no further apart are read with one request, and what lies
    between with them."""
    read_bytes_max: int = 8 * MIB
    """Longest read; a longer range is read in several at a time."""
    read_concurrency: int = 32
    """Reads of ranges at a time."""
    connections_max: int = 64
    """Connections that are kept for further requests."""
    connect_timeout_s: float = 5.0
    """A connection that is not there by then has failed."""
    read_timeout_s: float = 20.0
    """An answer that stands still for so long has failed."""
    attempts_max: int = 6
    """Times a request is made until its failure is told."""
    retry_min_s: float = 0.05
    """Wait before the second attempt, doubled before each further one; a random half is taken
    off."""
    retry_max_s: float = 3.0
    """Longest wait between two attempts."""
    deadline_s: float = 60.0
    """No attempt begins so long after the first one."""
    check_conditional_writes: bool = True
    """Whether a process sees at its start that the store keeps conditional writes (five small
    requests). Without them two nodes overwrite each other's index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskCacheSettings:
    """Columns, footers and filters of blocks in a bucket, kept on the local disk."""

    path: str = ""
    """Directory; empty: ``cache`` in the data directory. Several processes may share it."""
    bytes_max: int = 4096 * MIB
    """What its files may take; 0: there is no such cache."""
