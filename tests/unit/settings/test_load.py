"""The whole tree: precedence, origins, and files that were written for Tempo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tracestore.errors import SettingsError
from tracestore.settings.flags import parse_arguments
from tracestore.settings.leaves import leaves
from tracestore.settings.load import LoadedSettings, default_settings, load_settings
from tracestore.settings.tree import (
    JaegerGrpcSettings,
    JaegerSettings,
    JaegerThriftHttpSettings,
    Settings,
    ZipkinSettings,
)

TEMPO = Path(__file__).parent / "tempo"
KNOB = "ingester.max_block_duration_s"


def load(argv: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> LoadedSettings:
    return load_settings(parse_arguments(argv), environ={} if environ is None else environ)


def load_text(directory: Path, text: str, *argv: str) -> LoadedSettings:
    file = directory / "t.yaml"
    file.write_text(text)
    return load([f"--config={file}", *argv])


def warned(loaded: LoadedSettings) -> list[str]:
    return sorted(
        warning.split(" has no effect")[0].rpartition(": ")[2] for warning in loaded.warnings
    )


def test_nothing_given_is_the_defaults() -> None:
    loaded = load()

    assert loaded == default_settings()
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.origins.keys() == leaves().keys()


@pytest.mark.parametrize(
    ("flag", "variable", "file", "expected", "origin"),
    [
        ("1", "2", "3", 1.0, "flag --ingester.max-block-duration-s"),
        (None, "2m", "3", 120.0, "environment TRACESTORE_INGESTER__MAX_BLOCK_DURATION_S"),
        (None, None, "3", 3.0, "t.yaml:2"),
        (None, None, None, 300.0, "default"),
    ],
)
def test_flag_over_environment_over_file_over_default(
    flag: str | None,
    variable: str | None,
    file: str | None,
    expected: float,
    origin: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("" if file is None else f"ingester:\n  max_block_duration_s: {file}\n")
    argv = [f"--config={path}"] + ([f"--{KNOB.replace('_', '-')}={flag}"] if flag else [])
    environ = {leaves()[KNOB].variable: variable} if variable else {}
    loaded = load(argv, environ)

    assert loaded.settings.ingester.max_block_duration_s == expected
    assert loaded.origins[KNOB].removeprefix(f"{tmp_path}/") == origin


def test_an_explicit_zero_or_false_wins_over_what_is_below(tmp_path: Path) -> None:
    text = "server: {http_listen_port: 5}\ndistributor: {receivers: {http: {enabled: true}}}"
    argv = ("--server.http-listen-port=0", "--distributor.receivers.http.enabled=false")
    loaded = load_text(tmp_path, text, *argv)

    assert loaded.settings.server.http_listen_port == 0
    assert loaded.settings.distributor.receivers.http.enabled is False


def test_the_spelling_of_tempo_works_in_variables_and_flags() -> None:
    environ = {"TRACESTORE_STORAGE__TRACE__WAL__PATH": "/wal"}
    loaded = load(["-storage.trace.local.path=/blocks"], environ)

    assert loaded.settings.storage.path == "/blocks"
    assert loaded.settings.ingester.wal.path == "/wal"


def test_the_home_of_the_log_may_be_given_at_the_top(tmp_path: Path) -> None:
    assert load_text(tmp_path, "wal: {store: bucket}").settings.ingester.wal.store == "bucket"
    with pytest.raises(SettingsError, match="disk or bucket"):
        load_text(tmp_path, "wal: {store: tape}")


def test_a_flag_may_switch_on_a_receiver_that_the_file_leaves_out(tmp_path: Path) -> None:
    text = "distributor: {receivers: {otlp: {protocols: {http: }}}}"
    loaded = load_text(tmp_path, text, "--distributor.receivers.grpc.enabled=true")

    assert loaded.settings.distributor.receivers.grpc.enabled is True


def test_a_limit_of_one_protocol_leaves_the_other(tmp_path: Path) -> None:
    text = (
        "distributor: {receivers: {otlp: {protocols: {grpc: {max_recv_msg_size_mib: 4}, http: }}}}"
    )
    receivers = load_text(tmp_path, text).settings.distributor.receivers

    assert receivers.grpc_request_bytes_max == 4 << 20
    assert receivers.http_request_bytes_max == Settings().distributor.receivers.request_bytes_max


def test_foreign_variables_are_let_be() -> None:
    environ = {
        "PATH": "/bin",
        "TRACESTORE_PORT": "tcp://10.0.0.1:3200",
        "TRACESTORE_SERVICE_HOST": "10.0.0.1",
        "TRACESTORE_SERVICE_PORT_OTLP": "4317",
        "TRACESTORE_PORT_3200_TCP_ADDR": "10.0.0.1",
        "TRACESTORE_QUERIER_PORT_3200_TCP": "tcp://10.0.0.1:3200",
    }

    assert load(environ=environ) == default_settings()


def test_a_variable_that_is_none_of_ours_is_a_warning_and_with_two_bars_an_error() -> None:
    (warning,) = load(environ={"TRACESTORE_TARGTE": "all"}).warnings

    assert (
        "TRACESTORE_TARGTE: unknown variable; the nearest known one is TRACESTORE_TARGET" in warning
    )
    with pytest.raises(SettingsError, match="nearest known one is TRACESTORE_STORAGE__PATH"):
        load(environ={"TRACESTORE_STORAGE__PAHT": "x"})


def test_the_minimal_file(tmp_path: Path) -> None:
    loaded = load([f"-config.file={TEMPO / 'minimal.yaml'}"])

    receivers = replace(
        Settings().distributor.receivers,  # the file names OTLP alone
        zipkin=ZipkinSettings(enabled=False),
        jaeger=JaegerSettings(
            grpc=JaegerGrpcSettings(enabled=False),
            thrift_http=JaegerThriftHttpSettings(enabled=False),
        ),
    )
    assert loaded.settings == replace(
        Settings(),
        distributor=replace(Settings().distributor, receivers=receivers),
        storage=replace(Settings().storage, path="/var/tempo/traces"),
        ingester=replace(
            Settings().ingester, wal=replace(Settings().ingester.wal, path="/var/tempo/wal")
        ),
        metrics_generator=loaded.settings.metrics_generator,
        overrides=loaded.settings.overrides,
    )
    storage = loaded.settings.metrics_generator.storage
    assert storage.path == "/var/tempo/generator"
    assert [remote.url for remote in storage.remote_write] == [
        "http://prometheus:9090/api/v1/write"
    ]
    limits = loaded.settings.overrides.defaults.metrics_generator
    assert limits.processors == ("service-graphs", "span-metrics")
    assert warned(loaded) == []
    assert loaded.origins["storage.path"].endswith("minimal.yaml:8")


def test_a_compose_file_of_2x() -> None:
    loaded = load([f"-config.file={TEMPO / 'compose-2x.yaml'}", "-target=all"])
    settings = loaded.settings

    assert settings.ingester.max_block_duration_s == 300
    assert settings.ingester.max_block_bytes == 1_000_000
    assert settings.distributor.receivers.grpc_request_bytes_max == 16 << 20
    limits = settings.overrides.defaults
    assert limits.read.max_search_duration_s == 7 * 86400
    assert limits.global_.max_bytes_per_trace == 50_000_000
    assert limits.ingestion.max_traces_per_user == 50_000
    assert settings.storage.block.filter_bits_per_value == 7
    assert settings.storage.path == "/var/tempo/blocks"
    assert settings.distributor.receivers.http.enabled is True
    assert settings.stream_over_http_enabled is True
    assert settings.distributor.receivers.zipkin.enabled is True
    assert settings.distributor.receivers.zipkin.endpoint == "tempo:9411"
    assert settings.distributor.receivers.jaeger == JaegerSettings(
        grpc=JaegerGrpcSettings(enabled=True, endpoint="tempo:14250"),
        thrift_http=JaegerThriftHttpSettings(enabled=True, endpoint="tempo:14268"),
    )
    assert {
        "ingester.trace_idle_period",
        "storage.trace.blocklist_poll",
        "usage_report.reporting_enabled",
        "cache.caches",
    } < set(warned(loaded))
    assert len(warned(loaded)) == len(set(warned(loaded)))


def test_the_file_of_the_single_binary_chart() -> None:
    loaded = load([f"-config.file={TEMPO / 'chart-2x.yaml'}", "-mem-ballast-size-mbs=1024"])

    assert loaded.settings.storage.path == "/var/tempo/traces"
    assert loaded.settings.compactor.compaction.block_retention_s == 24 * 3600
    assert warned(loaded) == [
        "flag --mem-ballast-size-mbs",
        "memberlist.cluster_label",
        "usage_report.reporting_enabled",
    ]


def test_the_chart_names_its_file_of_tenants() -> None:
    loaded = load([f"-config.file={TEMPO / 'chart-2x.yaml'}"])

    assert loaded.settings.overrides.per_tenant_override_config == "/conf/overrides.yaml"


def test_a_monolith_of_3x() -> None:
    settings = load([f"-config.file={TEMPO / 'monolith-3x.yaml'}"]).settings

    assert settings.server.http_api_prefix == "/tempo"
    assert settings.server.http_listen_address == "127.0.0.1"
    assert settings.server.drain_timeout_s == 10
    assert (settings.server.log_level, settings.server.log_format) == ("warn", "json")
    assert settings.distributor.receivers.grpc.enabled is True
    assert settings.distributor.receivers.http.enabled is False
    assert settings.distributor.retry_after_on_resource_exhausted_s == 2
    assert settings.ingester.max_block_duration_s == 90
    assert settings.ingester.max_block_bytes == 52428800
    assert settings.query.max_concurrent_queries == 8
    assert settings.query.query_timeout_s == 45
    assert settings.query.max_outstanding_queries == 500
    assert settings.query.max_query_expression_bytes == 4096
    assert settings.query.default_result_limit == 50
    assert settings.query.max_result_limit == 1000
    assert settings.query.max_duration_s == 0
    assert settings.query.default_spans_per_span_set == 5
    assert settings.query.max_spans_per_span_set == 200


def test_legacy_overrides_and_expansion() -> None:
    argv = [f"-config.file={TEMPO / 'legacy-overrides.yaml'}", "-config.expand-env=true"]
    loaded = load(argv, {"DATA": "/data", "PORT": "3333"})

    assert loaded.settings.server.http_listen_port == 3333
    assert loaded.settings.storage.path == "/data"
    assert loaded.settings.distributor.receivers.grpc.enabled is False
    limits = loaded.settings.overrides.defaults
    assert limits.ingestion.bucket == (15_000_000, 30_000_000)
    assert limits.read.max_search_duration_s == 48 * 3600
    assert limits.global_.max_bytes_per_trace == 6_000_000
    (flat,) = (text for text in loaded.warnings if "flat format" in text)
    assert flat.endswith(
        "write overrides.defaults.ingestion.rate_limit_bytes, and the others alike"
    )
    assert limits.metrics_generator.processors == ("span-metrics",)
    assert [key for key in warned(loaded) if key.startswith("overrides.")] == []


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--target=live-store"], "flag --target: target: this role of Tempo does not run apart"),
        (["--target=everything"], "unknown target; known are all, distributor, ingester"),
        (["--storage.trace.backend=gcs"], "unknown backend, expected local or s3"),
        (["--storage.trace.backend=s3"], "storage.s3.bucket: expected the name of a bucket"),
        (["--storage.trace.s3.endpoint=http://x/y"], "expected host or host:port"),
        (["--storage.trace.s3.part-size=1MiB"], "expected 5242880 to"),
        (["--storage.s3.prefix=a//b"], "expected a prefix"),
        (["--storage.trace.s3.bucket_lookup_type=moon"], "expected auto or path or dns"),
        (["--storage.trace.s3.sse.encryption_key=x"], "keys of the customer"),
        (["--storage.backend=floppy"], "unknown backend"),
        (["--storage.path="], "expected a directory"),
        (["--server.http-listen-port=65536"], "expected a port from 0 to 65535"),
        (["--server.http-listen-port=-1"], "expected a port from 0 to 65535"),
        (["--server.log-level=loud"], "expected debug or info or warn or error, got 'loud'"),
        (["--server.http-api-prefix=tempo"], "begins with /"),
        (["--distributor.receivers.grpc.endpoint=4317"], "expected host:port"),
        (["--distributor.receivers.grpc.endpoint=x:70000"], "expected host:port"),
        (["--distributor.receivers.grpc.endpoint=http://x:1"], "expected host:port"),
        (["--ingester.max-block-bytes=0"], "expected more than 0"),
        (["--storage.block.compression-level=23"], "expected a level of zstd from 1 to 22"),
        (["--query.max-duration-s=-5s"], "expected no negative value"),
        (["--ingester.decode-interval-s=1e300"], "expected at most"),
        (["--storage.cache-bytes=9999999999999999999999"], "expected at most"),
        (["--distributor.receivers.request-bytes-max=4GiB"], "expected at most 2147483647"),
        (["--distributor.receivers.grpc.request-bytes-max=4GiB"], "expected at most 2147483647"),
        (["--storage.path=a\0b"], "expected a text without a zero byte"),
        (["--ingester.wal.path=a\0b"], "expected a text without a zero byte"),
    ],
)
def test_values_that_cannot_be_worked_with(argv: list[str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(argv)

    assert message in str(caught.value)


@pytest.mark.parametrize("endpoint", [":4317", "[::]:4317", "[::1]:0", "tempo.local:4317", "::0"])
def test_endpoints(endpoint: str) -> None:
    argv = [f"--distributor.receivers.grpc.endpoint={endpoint}"]
    if endpoint == "::0":
        with pytest.raises(SettingsError):
            load(argv)
    else:
        assert load(argv).settings.distributor.receivers.grpc.endpoint == endpoint


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read config .*none.yaml: No such file"):
        load([f"--config={tmp_path / 'none.yaml'}"])
    with pytest.raises(SettingsError, match="Is a directory"):
        load([f"--config={tmp_path}"])
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff")
    with pytest.raises(SettingsError, match="no UTF-8 at byte 3"):
        load([f"--config={tmp_path / 'latin.yaml'}"])


def test_an_error_in_the_file_names_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_text(tmp_path, "server:\n  http_listen_prot: 1\n")

    assert str(caught.value) == (
        f"{tmp_path}/t.yaml:2: unknown key server.http_listen_prot; "
        "the nearest known one is server.http_listen_port"
    )
