"""What a metrics-generator in a process of its own costs, and what it costs the distributor.

A distributor, an ingester and a generator, without processors and with span metrics and the service
graph: CPU seconds of each process for the same load. The generator's spans are checked against
those that were sent.

    python bench/generator_roles.py --spans 500000
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from generator import flags
from ingest import cpu_seconds, peak_bytes, send
from load import requests
from support.cluster import running_cluster

TARGETS = {"distributor": "distributor", "ingester": "ingester", "generator": "metrics-generator"}
RECEIVED = "tempo_metrics_generator_spans_received_total"
DROPPED = "tracestore_distributor_metrics_generator_dropped_spans_total"


def measure(payloads: list[bytes], spans: int, *, is_on: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        more = flags(name, "")
        if not is_on:
            more = [flag for flag in more if "processors" not in flag]
        with running_cluster(Path(name), TARGETS, *more) as cluster:
            pids = {role: server.process.pid for role, server in cluster.nodes.items()}
            before = {role: cpu_seconds(pid) for role, pid in pids.items()}
            started = time.monotonic()
            send(cluster["distributor"].otlp_grpc, payloads)
            seconds = time.monotonic() - started
            cluster["ingester"].wait_until_decoded()
            counted = cluster["generator"].metric(RECEIVED)
            while is_on and counted + cluster["distributor"].metric(DROPPED) < spans:
                time.sleep(0.05)
                counted = cluster["generator"].metric(RECEIVED)
            dropped = cluster["distributor"].metric(DROPPED)
            print(f"processors {'on' if is_on else 'off'}: {spans / seconds:,.0f} spans/s sent")
            print(f"  {counted:,.0f} counted, {dropped:,.0f} dropped")
            for role, pid in pids.items():
                used = cpu_seconds(pid) - before[role]
                rate, peak = f"{spans / max(used, 0.01):,.0f}", peak_bytes(pid) >> 20
                print(f"  {role:12} {used:6.2f} CPU s {rate:>12} spans per CPU s {peak:6} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=500_000)
    parser.add_argument("--request", type=int, default=1000, help="spans in a request")
    arguments = parser.parse_args()
    payloads = list(requests(arguments.spans, spans_per_request=arguments.request))
    for is_on in (False, True):
        measure(payloads, arguments.spans, is_on=is_on)


if __name__ == "__main__":
    main()
