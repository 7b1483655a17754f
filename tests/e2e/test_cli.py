"""The commands as processes: exit codes, one clear line, and a demo that answers at once."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from support.server import free_ports, running_server, wait_until

TRACESTORE = (sys.executable, "-P", "-m", "tracestore.cli.main")
TIMEOUT_S = 60.0
DEMO_ANSWERS_WITHIN_S = 5.0


def ports_flags(*, api: int, grpc: int, http: int, queries: int = 0) -> list[str]:
    return [
        "--server.http-listen-address=127.0.0.1",
        f"--server.http-listen-port={api}",
        "--server.grpc-listen-address=127.0.0.1",
        f"--server.grpc-listen-port={queries}",
        f"--distributor.receivers.grpc.endpoint=127.0.0.1:{grpc}",
        f"--distributor.receivers.http.endpoint=127.0.0.1:{http}",
        "--distributor.receivers.zipkin.enabled=false",
        "--distributor.receivers.jaeger.grpc.enabled=false",
        "--distributor.receivers.jaeger.thrift-http.enabled=false",
    ]


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TRACESTORE, *argv], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


@contextmanager
def occupied_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("command", "taken"),
    [
        ("serve", "api"),
        ("serve", "grpc"),
        ("serve", "http"),
        ("serve", "queries"),
        ("demo", "api"),
    ],
)
def test_a_port_in_use_is_one_line_and_exit_code_1(
    command: str, taken: str, tmp_path: Path
) -> None:
    with occupied_port() as port:
        ports = {"api": 0, "grpc": 0, "http": 0, taken: port}
        ended = run(command, f"--storage.path={tmp_path / 'data'}", *ports_flags(**ports))

    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    (line,) = [one for one in ended.stderr.splitlines() if one.startswith("tracestore: ")]
    assert f"127.0.0.1:{port}" in line
    assert "in use" in line


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config={tmp}/none.yaml", "cannot read config {tmp}/none.yaml: No such file"),
        ("--config={tmp}", "cannot read config {tmp}: Is a directory"),
        ("--storage.path={tmp}/file", "cannot use data directory {tmp}/file"),
        ("-config.file={tmp}/bad.yaml", "{tmp}/bad.yaml:1: unknown key servr; the nearest"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_exit_code_1(
    flag: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "bad.yaml").write_text("servr: {}\n")
    ended = run("serve", flag.format(tmp=tmp_path))

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"tracestore: {message.format(tmp=tmp_path)}")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_with_code_0(number: signal.Signals, tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        server.process.send_signal(number)

        assert server.process.wait(TIMEOUT_S) == 0
        assert "Traceback" not in server.log()


def test_a_tempo_file_without_command_serves_and_shows_its_settings(tmp_path: Path) -> None:
    api, queries, grpc, http = free_ports(4)
    config = tmp_path / "tempo.yaml"
    config.write_text(
        f"""
stream_over_http_enabled: true
server: {{http_listen_port: {api}, grpc_listen_port: {queries}, log_format: json}}
distributor:
  receivers:
    otlp:
      protocols:
        grpc: {{endpoint: "127.0.0.1:{grpc}"}}
        http: {{endpoint: "127.0.0.1:{http}"}}
storage:
  trace:
    backend: local
    local: {{path: {tmp_path}/traces}}
    wal: {{path: {tmp_path}/wal}}
"""
    )
    log_path = tmp_path / "log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*TRACESTORE, f"-config.file={config}", "-target=all"], stdout=log, stderr=log
        )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{api}/ready"), TIMEOUT_S)
        shown = httpx.get(f"http://127.0.0.1:{api}/status/config?mode=diff").text
        health = run(f"-health.url=http://127.0.0.1:{api}/ready", "-health")
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT_S) == 0
    assert health.returncode == 0
    assert shown.startswith("---\n")
    assert f"  path: {tmp_path}/traces  # {config}:" in shown
    assert (tmp_path / "wal").is_dir()
    records = [json.loads(line) for line in log_path.read_text().splitlines()]
    assert [one["msg"] for one in records if one["level"] == "warn"] == []


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def running_demo(directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path, int]]:
    """Start the demo as a terminal does: in a process group of its own. Yields its output file."""
    api, grpc, http = free_ports(3)
    output = directory / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [
                *(*TRACESTORE, "demo", f"--storage.path={directory / 'data'}", "--seed=1"),
                *ports_flags(api=api, grpc=grpc, http=http),
            ],
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield process, output, api
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def search(command: list[str]) -> int:
    """Ask what a printed ``curl`` command asks; return the count of traces."""
    (url,) = [word for word in command if word.startswith("http")]
    (parameter,) = [word for word in command if word.startswith("q=")]
    answer = httpx.get(url, params={"q": parameter.removeprefix("q=")}, timeout=30)
    assert answer.status_code == 200, answer.text
    return len(answer.json()["traces"])


def cpu_seconds(pid: int) -> float:
    """Read how long a process has computed: its time on an idle machine, whatever runs beside."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_the_demo_answers_within_seconds_and_its_queries_find_something(tmp_path: Path) -> None:
    started = time.monotonic()
    with running_demo(tmp_path) as (process, output, api):
        wait_until(lambda: answers(f"http://127.0.0.1:{api}/api/echo"), TIMEOUT_S)
        answered_s = min(time.monotonic() - started, cpu_seconds(process.pid))
        wait_until(lambda: "Ctrl-C stops" in output.read_text(), TIMEOUT_S)
        printed = re.findall(r"^ +(curl -sG .*)$", output.read_text(), re.MULTILINE)
        commands = [shlex.split(line) for line in printed]
        wait_until(lambda: all(search(command) for command in commands), TIMEOUT_S)
        os.killpg(process.pid, signal.SIGINT)
        code = process.wait(TIMEOUT_S)

        text = output.read_text()
    assert len(commands) == 5
    assert answered_s < DEMO_ANSWERS_WITHIN_S, answered_s
    assert code == 0, text
    assert "Traceback" not in text
