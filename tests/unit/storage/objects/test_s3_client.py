"""What the settings make of a client: where it asks, in which region, with what headers."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from support.s3 import S3Place, s3, s3_server  # noqa: F401 - fixtures
from support.s3_proxy import S3Proxy, running_proxy

from tracestore.errors import UnavailableError
from tracestore.settings.s3_tree import S3EncryptionSettings, S3Settings
from tracestore.storage.objects.s3_client import make_client

EU = "eu-central-1"


@pytest.mark.parametrize(
    ("changes", "region", "url"),
    [
        ({}, "us-east-1", "https://bkt.s3.amazonaws.com/k"),
        ({"forcepathstyle": True}, "us-east-1", "https://s3.amazonaws.com/bkt/k"),
        ({"endpoint": f"s3.{EU}.amazonaws.com"}, EU, f"https://bkt.s3.{EU}.amazonaws.com/k"),
        (
            {"endpoint": f"s3.{EU}.amazonaws.com", "forcepathstyle": True},
            EU,
            f"https://s3.{EU}.amazonaws.com/bkt/k",
        ),
        (
            {"endpoint": f"s3.{EU}.amazonaws.com", "bucket": "a.b"},
            EU,
            f"https://s3.{EU}.amazonaws.com/a.b/k",
        ),
        ({"endpoint": "minio:9000", "insecure": True}, "us-east-1", "http://minio:9000/bkt/k"),
        ({"endpoint": "http://minio:9000", "region": "x"}, "x", "http://minio:9000/bkt/k"),
        (
            {"endpoint": "store.example", "bucket_lookup_type": "dns"},
            "us-east-1",
            "https://bkt.store.example/k",
        ),
    ],
)
def test_where_it_asks(
    changes: dict[str, object], region: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    values: dict[str, object] = {"bucket": "bkt", "access_key": "a", "secret_key": "b"} | changes
    settings = S3Settings(**values)  # type: ignore[arg-type]
    client = make_client(settings)
    asked = client.generate_presigned_url(
        "get_object", Params={"Bucket": settings.bucket, "Key": "k"}
    )

    assert client.meta.region_name == region
    assert asked.partition("?")[0] == url


@pytest.fixture
def proxy(s3: S3Place) -> Iterator[S3Proxy]:  # noqa: F811 - the fixture
    with running_proxy(s3.settings.endpoint) as running:
        yield running


def test_new_objects_carry_what_the_settings_say(s3: S3Place, proxy: S3Proxy) -> None:  # noqa: F811 - the fixture
    place = replace(s3, settings=replace(s3.settings, endpoint=proxy.endpoint))
    sse = S3EncryptionSettings(type="SSE-KMS", kms_key_id="key-1")
    store = place.store(storage_class="STANDARD_IA", sse=sse, attempts_max=1)
    proxy.seen.clear()
    with suppress(UnavailableError):  # the server here has no keys
        store.put("k", b"x")
    headers = {name.lower(): value for name, value in proxy.seen[-1].headers.items()}

    assert headers["x-amz-storage-class"] == "STANDARD_IA"
    assert headers["x-amz-server-side-encryption"] == "aws:kms"
    assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1"
