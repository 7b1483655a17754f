"""Command lines as they are typed."""

from __future__ import annotations

import pytest

from tracestore.errors import SettingsError
from tracestore.settings.flags import Arguments, parse_arguments


def values(arguments: Arguments) -> dict[str, object]:
    return {path: given.value for path, given in arguments.layer.values.items()}


@pytest.mark.parametrize(
    "argv",
    [
        ["--ingester.wal.segment-bytes-max=1MiB"],
        ["-ingester.wal.segment-bytes-max=1MiB"],
        ["--ingester.wal.segment-bytes-max", "1048576"],
        ["--ingester.wal.segment_bytes_max=1048576"],
        ["--ingester.wal.segment-bytes-max=5", "--ingester.wal.segment-bytes-max=1MiB"],
    ],
)
def test_one_knob_in_many_spellings(argv: list[str]) -> None:
    assert values(parse_arguments(argv)) == {"ingester.wal.segment_bytes_max": 1 << 20}


def test_a_command_line_of_tempo() -> None:
    arguments = parse_arguments(
        [
            *("-config.file=/conf/tempo.yaml", "-target=all", "-config.expand-env=true"),
            *("-mem-ballast-size-mbs=1024", "-server.http-listen-port=3201", "-log.level=warn"),
            *("-multitenancy.enabled=false", "-usage-report.reporting-enabled"),
            *("-http-api-prefix", "/tempo", "-storage.trace.local.path=/data"),
        ]
    )

    assert arguments.config_file == "/conf/tempo.yaml"
    assert arguments.switches == {"config.expand-env"}
    assert values(arguments) == {
        "target": "all",
        "server.http_listen_port": 3201,
        "server.log_level": "warn",
        "server.http_api_prefix": "/tempo",
        "multitenancy_enabled": False,
        "storage.path": "/data",
    }
    assert [warning.split(" has ")[0] for warning in arguments.layer.warnings] == [
        "flag --mem-ballast-size-mbs",
        "flag --usage-report.reporting-enabled: usage_report.reporting_enabled",
    ]


def test_an_explicit_zero_and_false_are_kept() -> None:
    argv = ["--server.http-listen-port=0", "--distributor.receivers.http.enabled=false"]

    assert values(parse_arguments(argv)) == {
        "server.http_listen_port": 0,
        "distributor.receivers.http.enabled": False,
    }


def test_a_boolean_alone_is_true_and_takes_no_value() -> None:
    argv = ["--distributor.receivers.http.enabled", "-config.verify=false", "-version"]
    arguments = parse_arguments(argv)

    assert values(arguments) == {"distributor.receivers.http.enabled": True}
    assert arguments.switches == {"version"}


@pytest.mark.parametrize(
    "flag", ["-multitenancy.enabled", "--auth.enabled=true", "--multitenancy-enabled"]
)
def test_each_name_switches_tenants_on(flag: str) -> None:
    assert values(parse_arguments([flag])) == {"multitenancy_enabled": True}


def test_the_flags_of_a_command_are_its_own() -> None:
    arguments = parse_arguments(["--rate=5", "--config", "f"], extra=frozenset({"rate"}))

    assert arguments.extra == {"rate": "5"}
    assert arguments.config_file == "f"


@pytest.mark.parametrize("flag", ["-use-otel-tracer", "-internal-server.enable", "-memory"])
def test_a_flag_without_meaning_does_not_swallow_the_next_flag(flag: str) -> None:
    assert values(parse_arguments([flag, "-target=all"])) == {"target": "all"}
    assert values(parse_arguments([flag, "x", "-target=all"])) == {"target": "all"}
    assert len(parse_arguments([flag]).layer.warnings) == 1


@pytest.mark.parametrize(
    "argv", [["-reporting.enabled=false"], ["-memberlist.join=a:7946"], ["-memberlist.nodename=n"]]
)
def test_flags_whose_name_is_not_the_path_of_their_key(argv: list[str]) -> None:
    assert "has no effect" in parse_arguments(argv).layer.warnings[0]


def test_an_empty_name_is_no_file() -> None:
    assert parse_arguments(["-config.file="]).config_file is None


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--ingester.max-blok-duration=5m"], "nearest known one is ingester.max_block_duration"),
        (["--server.http-listen-port=many"], "expected a whole number, got 'many'"),
        (["--server.http-listen-port"], "needs a value"),
        (["--config"], "needs a value"),
        (["--ingester=x"], "is a section"),
        (["-config.expand-env=perhaps"], "expected true or false"),
        (["stray"], "unexpected argument 'stray'"),
        (["--"], "unexpected argument"),
        (["---x"], "unexpected argument"),
        (["--storage.path=a", "--storage.trace.local.path=b"], "contradicts flag --storage.path"),
    ],
)
def test_mistakes_are_one_clear_line(argv: list[str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_arguments(argv)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
