"""Command lines and what they print, short of a running server."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tracestore.cli.main import main
from tracestore.settings.tree import Settings
from tracestore.version import package_version


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TRACESTORE_TARGET", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["-help"], ["help"]])
def test_help_names_the_commands(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {command} " in out for command in ("serve", "demo", "config"))


@pytest.mark.parametrize("command", ["serve", "demo", "config"])
def test_each_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: tracestore {command}")


def test_serve_help_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    main(["serve", "--help"])
    out = capsys.readouterr().out

    assert "--ingester.wal.segment-bytes-max [67108864]" in out
    assert "--distributor.receivers.http.enabled [true]" in out


@pytest.mark.parametrize("argv", [["--version"], ["-version"], ["serve", "-version"]])
def test_version(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0
    assert capsys.readouterr().out == f"tracestore {package_version()}\n"


def test_config_prints_values_and_origins(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACESTORE_STORAGE__CACHE_BYTES", "1MiB")
    assert main(["config", "--server.http-listen-port=0"]) == 0
    out = capsys.readouterr().out

    assert "  http_listen_port: 0  # flag --server.http-listen-port\n" in out
    assert "  cache_bytes: 1048576  # environment TRACESTORE_STORAGE__CACHE_BYTES\n" in out
    assert yaml.safe_load(out)["storage"]["path"] == Settings().storage.path


def test_config_can_print_the_difference_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--mode=diff", "--storage.path=x"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == {"storage": {"path": "x"}}


def test_config_warns_on_stderr_once_per_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.yaml").write_text("usage_report: {reporting_enabled: false}\n")

    assert main(["config", "-config.file=t.yaml"]) == 0
    assert capsys.readouterr().err == (
        "tracestore: warning: t.yaml:1: usage_report.reporting_enabled has no effect: "
        "nothing is reported to anybody\n"
    )


def test_a_command_line_of_tempo_without_command_is_serve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.yaml").write_text("memory: {automemlimit_enabled: true}\n")

    assert main(["-config.file=t.yaml", "-target=all", "-config.verify"]) == 0
    assert "t.yaml:1: memory has no effect" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("overrides: {a: {max_bytes_per_trace: 1}}", 0, "flat format of Tempo 2.x"),
        ("overrides: {a: {max_bytes: 1}}", 1, "unknown key overrides.max_bytes"),
        ("overrides: {a/b: {}}", 1, "tenant ID 'a/b' contains unsupported character '/'"),
    ],
)
def test_verifying_looks_at_the_limits_of_tenants_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, code: int, words: str
) -> None:
    (tmp_path / "o.yaml").write_text(text)
    flag = f"--overrides.per-tenant-override-config={tmp_path / 'o.yaml'}"

    assert main(["serve", "-config.verify", flag]) == code
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["sreve"], "unknown command 'sreve', known are serve, query, trace, tags, graph, demo, "),
        (["serve", "--config=none.yaml"], "cannot read config none.yaml: No such file"),
        (["-config.file=none.yaml"], "cannot read config none.yaml"),
        (["serve", "--target=querier"], "needs a bucket that all processes share"),
        (["serve", "--servr.x=1"], "unknown key servr.x; the nearest known one is server"),
        (["serve", "--storage.trace.backend=s3"], "expected the name of a bucket, as storage"),
        (
            ["serve", "--storage.path=file"],
            "cannot use data directory file (storage.path): not a d",
        ),
        (["serve", "--storage.path=file/x"], "cannot use data directory file/x (storage.path)"),
        (
            ["serve", "--storage.path=d", "--ingester.wal.path=file"],
            "file (ingester.wal.path): not",
        ),
        (["config", "--mode=x"], "expected all, diff or defaults, got 'x'"),
        (["demo", "--rate=x"], "flag --rate: expected a number, got 'x'"),
        (["demo", "--rate=-1"], "expected no negative value"),
        (["demo", "--history=5x"], "flag --history: expected a duration"),
        (["demo", "--distributor.receivers.grpc.enabled=false"], "that receiver is switched off"),
        (["serve", "-health", "-health.url=http://127.0.0.1:1/ready"], "is not ready: "),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_code_1(
    argv: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")

    assert main(argv) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("tracestore: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
