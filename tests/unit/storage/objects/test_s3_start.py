"""A bucket that cannot be worked with is refused at the start, in a line that says what to do."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.careless_s3 import careless_s3
from support.s3 import S3Place, s3, s3_server  # noqa: F401 - fixtures
from support.server import free_ports

from tracestore.errors import SettingsError

FEW = {"attempts_max": 2, "retry_min_s": 0.01}


def test_a_good_bucket_is_left_as_it_was(s3: S3Place) -> None:  # noqa: F811 - the fixture
    store = s3.store(check_conditional_writes=True)

    assert list(store.list("")) == []


@pytest.mark.parametrize(
    ("heeds", "header"),
    [
        (frozenset(), "If-None-Match"),
        (frozenset({"If-None-Match"}), "If-Match"),
        (frozenset({"If-Match"}), "If-None-Match"),
    ],
)
def test_a_store_that_ignores_conditions_is_refused(
    s3: S3Place,  # noqa: F811 - the fixture
    heeds: frozenset[str],
    header: str,
) -> None:
    with careless_s3(heeds=heeds) as endpoint:
        place = replace(s3, settings=replace(s3.settings, endpoint=endpoint))
        with pytest.raises(SettingsError, match=f"conditional writes .{header}"):
            place.store(check_conditional_writes=True)


def test_a_store_that_keeps_them_passes(s3: S3Place) -> None:  # noqa: F811 - the fixture
    with careless_s3(heeds=frozenset({"If-Match", "If-None-Match"})) as endpoint:
        replace(s3, settings=replace(s3.settings, endpoint=endpoint)).store(
            check_conditional_writes=True
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bucket": "no-such-bucket"}, "there is no bucket no-such-bucket at http://127"),
        ({"access_key": "nobody"}, "403 InvalidAccessKeyId.*check the credentials"),
        ({"secret_key": "wrong"}, "403 SignatureDoesNotMatch.*check the credentials"),
        ({"bucket": ""}, "bucket is not set"),
        ({"tls_ca_path": "/no/such/file", "insecure": False}, "storage.s3"),
    ],
)
def test_what_is_wrong_is_named(
    s3: S3Place,  # noqa: F811 - the fixture
    changes: dict[str, object],
    message: str,
) -> None:
    with pytest.raises(SettingsError, match=message):
        s3.store(**(FEW | changes))


def test_an_endpoint_where_nobody_answers_is_named(s3: S3Place) -> None:  # noqa: F811 - the fixture
    (port,) = free_ports(1)
    with pytest.raises(SettingsError, match=rf"127.0.0.1:{port}.*after 2 attempts.*endpoint"):
        s3.store(**FEW, endpoint=f"127.0.0.1:{port}")


def test_without_any_credentials_the_message_says_so(
    s3: S3Place,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="credentials"):
        s3.store(**FEW, access_key="", secret_key="")


def test_the_credentials_of_the_environment_are_used(
    s3: S3Place,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.settings.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.settings.secret_key)
    store = s3.store(access_key="", secret_key="")
    store.put("k", b"x")

    assert store.get("k") == b"x"
