"""Ten minutes of breaking a cluster of three nodes on a real S3 server, and what it did.

    python -m bench.chaos [--seconds 600] [--seed 1] [--rate 40]

Prints how many faults, spans and queries there were, and every wrong answer. Exit code 1 if any.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.chaos import running_chaos
from support.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, S3Place, running_s3

from tracestore.settings.s3_tree import S3Settings


def main() -> int:
    """Run one round. Returns: the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=40.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, running_s3(Path(directory) / "s3") as server:
        settings = S3Settings(
            bucket=BUCKET,
            prefix="chaos",
            endpoint=server.endpoint,
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            insecure=True,
        )

        def flags(endpoint: str) -> list[str]:
            return S3Place(settings=replace(settings, endpoint=endpoint)).flags()

        with running_chaos(
            Path(directory), flags, server.endpoint, seed=options.seed, rate=options.rate
        ) as chaos:
            chaos.faults.refuse, chaos.faults.reset = 0.02, 0.01
            chaos.faults.lose, chaos.faults.delay = 0.01, 0.02
            report = chaos.run(options.seconds)
    print(report)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
