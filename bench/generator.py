"""What metrics of spans cost on top of ingest: the same load with and without, turn by turn.

Each pair of runs starts two fresh servers as ``bench/ingest.py`` does, one without processors, one
with
span metrics and the service graph, and compares their spans per CPU second: the ratio does not
depend on how fast or busy the machine is. The series are checked against the spans that were sent.

    python bench/generator.py --spans 1000000 --pairs 3
    python bench/generator.py --spans 300000 --alone

``--alone`` feeds a tenant's metrics in this process, without a server, and prints what that costs.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from ingest import measure
from load import requests

PROCESSORS = "span-metrics,service-graphs"


def flags(directory: str, dimensions: str) -> list[str]:
    """Switch both processors on; the load is of another year, so that no span may be too old."""
    found = [
        f"--metrics-generator.storage.path={directory}/generator",
        "--metrics-generator.metrics-ingestion-time-range-slack=800000h",
        "--metrics-generator.processor.service-graphs.max-items=1000000",
        f"--overrides.defaults.metrics-generator.processors={PROCESSORS}",
    ]
    if dimensions:
        found.append(f"--metrics-generator.processor.span-metrics.dimensions={dimensions}")
    return found


def alone(payloads: list[bytes], spans: int) -> None:
    """Count what a builder decodes, ten requests at a time."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from support.generator import Counted

    counted, decoding, counting = Counted(), 0.0, 0.0
    for first in range(0, len(payloads), 10):
        started = time.process_time()
        for payload in payloads[first : first + 10]:
            counted.builder.append(payload)
        decoded = time.process_time()
        counted.tenant.consume(counted.reader, counted.builder)
        decoding += decoded - started
        counting += time.process_time() - decoded
    print(f"decoding {decoding / spans * 1e6:.2f} us a span, counting {counting / spans * 1e6:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--request", type=int, default=1000, help="spans in a request")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--dimensions", default="", help="of span metrics, separated by commas")
    parser.add_argument("--alone", action="store_true")
    arguments = parser.parse_args()
    payloads = list(requests(arguments.spans, spans_per_request=arguments.request))
    if arguments.alone:
        alone(payloads, arguments.spans)
        return
    ratios = []
    print(f"{'without':>10} {'with':>10} {'ratio':>7}   spans per CPU second")
    for _ in range(arguments.pairs):
        rates = []
        for is_on in (False, True):
            directory = tempfile.mkdtemp()
            more = flags(directory, arguments.dimensions) if is_on else []
            run = measure(payloads, arguments.spans, directory, more)
            rates.append(run["spans per CPU second"])
            shutil.rmtree(directory)
        ratios.append(rates[1] / rates[0])
        print(f"{rates[0]:10} {rates[1]:10} {ratios[-1]:7.3f}")
    print(f"ratio: median {statistics.median(ratios):.3f}, least {min(ratios):.3f}")


if __name__ == "__main__":
    main()
