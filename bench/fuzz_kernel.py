"""Fuzzes the kernel with mutated requests, against opentelemetry-proto's own parser.

Each input goes through ``check``, ``SpanBuilder.append``, ``freeze`` and ``encode``; what protobuf
refuses must be refused with an offset within the input, what it accepts must come back equal. Now
and then an input also goes into a builder that holds spans already: a refusal must not change it;
and the limits of a tenant are applied to some of those that are accepted, others are cut by trace.

    python bench/fuzz_kernel.py --seconds 300 --seed 1             # the kernel that is installed
    python bench/fuzz_kernel.py --seconds 300 --checked            # with bounds checks
    python bench/fuzz_kernel.py --seconds 300 --sanitize           # and AddressSanitizer, UBSan
    python bench/fuzz_kernel.py --replay last-input                # what a run left behind

``--checked`` and ``--sanitize`` build a copy of the package; TRACESTORE_KERNEL_BOUNDSCHECK=1 means
``--checked``. The input at hand always lies in the file ``--last``, so that it survives a crash.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import mmap
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import checked_kernel

ROOT = Path(__file__).resolve().parents[1]
INPUT_BYTES_MAX = 64 * 1024
CORPUS_MAX = 4000
HANG_S = 60
"""An input that takes longer ends the run with a traceback."""


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--generated", type=int, default=150, help="generated requests to start from"
    )
    parser.add_argument(
        "--checked", action="store_true", help="build with bounds checks and run that"
    )
    parser.add_argument("--sanitize", action="store_true", help="the same with sanitizers")
    parser.add_argument("--build-dir", type=Path, help="where such builds are kept")
    parser.add_argument("--last", type=Path, help="file that holds the input at hand")
    parser.add_argument("--replay", type=Path, help="run this one input and no more")
    return parser.parse_args()


def run_in_checked_build(arguments: argparse.Namespace) -> int:
    """Build a copy of the package and run this program with it."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = arguments.build_dir or Path(scratch)
        started = time.monotonic()
        home = checked_kernel.build(directory.resolve(), sanitize=arguments.sanitize)
        print(f"checked build ready after {time.monotonic() - started:.0f} s", flush=True)
        passed_on = [a for a in sys.argv[1:] if a not in ("--checked", "--sanitize")]
        environment = dict(os.environ) | {"PYTHONPATH": str(home), "FUZZED_BUILD": str(home)}  # noqa: TID251
        if arguments.sanitize:
            environment |= checked_kernel.sanitizer_environment()
        command = [sys.executable, __file__, *passed_on]
        done = subprocess.run(command, env=environment, cwd=home, check=False)
        if done.returncode < 0:
            print(f"the kernel crashed with signal {-done.returncode}")
        return abs(done.returncode)


class Fuzzer:
    """A corpus that grows, and what was counted while it was mutated."""

    def __init__(self, seed: int, generated: int) -> None:
        self._rng = random.Random(seed)
        self.corpus = [*generated_requests(seed, generated), *recorded_pieces()]
        self.counts: Counter[str] = Counter()

    def next_input(self) -> bytes:
        """Make an input from one or two members of the corpus."""
        import mutations

        data = mutations.mutate(
            self._rng, self._rng.choice(self.corpus), self._rng.choice(self.corpus)
        )
        return data[:INPUT_BYTES_MAX]

    def run_one(self, data: bytes) -> None:
        """Hold the kernel against the oracle. Raises: AssertionError where they differ."""
        from support.wire_oracle import assert_kernel_agrees

        accepted = assert_kernel_agrees(data)
        self.counts["accepted" if accepted else "refused"] += 1
        if self._rng.random() < 0.05:
            self.append_between(data)
        if accepted and self._rng.random() < 0.2:
            self.limit(data)
        if accepted and self._rng.random() < 0.2:
            self.cut(data)
        if accepted and self._rng.random() < 0.1:
            self._keep(data)

    def append_between(self, data: bytes) -> None:
        """Append between two good requests; a refused one must leave no trace."""
        from support.flat_spans import flat_spans

        from tracestore.errors import MalformedError
        from tracestore.kernel import SpanBuilder, encode

        before, after = self.corpus[0], self.corpus[1]
        builder = SpanBuilder()
        builder.append(before)
        appended = [before, after]
        spans, size = builder.spans, builder.wire_bytes
        try:
            builder.append(data)
            appended.insert(1, data)
        except MalformedError:
            assert (builder.spans, builder.wire_bytes) == (spans, size)
        builder.append(after)
        assert flat_spans([encode(builder.freeze().tables())]) == flat_spans(appended)
        self.counts["appended between others"] += 1

    def limit(self, data: bytes) -> None:
        """Leave spans out, shorten attributes: the spans that stay are those of protobuf."""
        from tracestore.kernel import LiveTraces, check, limit_request

        spans = check(data).spans
        refused = self._rng.choices(range(2), k=spans)
        assert limit_request(data).request == data
        left = limit_request(data, refused=bytes(refused)).request
        sent = [one for one, out in zip(written_spans(data), refused, strict=True) if not out]
        assert written_spans(left) == sent
        size = self._rng.randrange(1, 64)
        shortened = limit_request(data, attribute_bytes_max=size, refused=bytes(refused)).request
        assert check(shortened).spans == len(written_spans(shortened)) == len(sent)
        traces = LiveTraces(seed=self._rng.getrandbits(64), idle_s=5, keep_s=30, traces_max=100)
        admitted = traces.admit(data, spans, 1, traces_max=2, bytes_max=200)
        assert admitted.refused is None or len(admitted.refused) == spans
        self.counts["limited"] += 1

    def cut(self, data: bytes) -> None:
        """Cut by trace ID: the parts are those of protobuf."""
        from support.shards import assert_shards_agree

        assert_shards_agree(
            data, [self._rng.getrandbits(64) for _ in range(self._rng.choice((2, 3)))]
        )
        self.counts["cut by trace"] += 1

    def _keep(self, data: bytes) -> None:
        if len(self.corpus) < CORPUS_MAX:
            self.corpus.append(data)
        else:
            self.corpus[self._rng.randrange(2, CORPUS_MAX)] = data


def written_spans(data: bytes) -> list[bytes]:
    """Read the spans of a request with protobuf, in order, each written anew."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    return [
        span.SerializeToString(deterministic=True)
        for group in ExportTraceServiceRequest.FromString(data).resource_spans
        for scope_group in group.scope_spans
        for span in scope_group.spans
    ]


def generated_requests(seed: int, count: int) -> list[bytes]:
    """Draw requests from the strategies of the property tests."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from support.strategies import request_bytes

    found: list[bytes] = []

    @seeded(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(request_bytes)
    def collect(data: bytes) -> None:
        found.append(data)

    collect()
    return found


def recorded_pieces() -> Iterator[bytes]:
    """Cut some requests of the recordings, where there are any, into pieces of a few spans."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from support import recordings

    for name in (recordings.ONLINE_BOUTIQUE, recordings.TRAIN_TICKET):
        if not recordings.is_there(name):
            print(f"no recording {name}: the corpus goes without it")
            continue
        for data in recordings.read_recording(name, requests_max=3):
            for group in ExportTraceServiceRequest.FromString(data).resource_spans:
                for scope_group in group.scope_spans:
                    del scope_group.spans[3:]
                yield ExportTraceServiceRequest(resource_spans=[group]).SerializeToString()


def show_input(memory: mmap.mmap | None, data: bytes) -> None:
    """Leave the input where it survives a crash: its size in 8 bytes, then itself."""
    if memory is not None:
        memory[: 8 + len(data)] = len(data).to_bytes(8, "little") + data


def fuzz(arguments: argparse.Namespace) -> int:
    """Run until the time is over. Returns: the exit code."""
    fuzzer = Fuzzer(arguments.seed, arguments.generated)
    sizes = [len(data) for data in fuzzer.corpus]
    print(f"corpus: {len(sizes)} requests, {sum(sizes):,} bytes", flush=True)
    memory = None
    if arguments.last is not None:
        with arguments.last.open("w+b") as file:
            file.truncate(8 + INPUT_BYTES_MAX)
            memory = mmap.mmap(file.fileno(), 0)
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < arguments.seconds:
        data = fuzzer.next_input()
        show_input(memory, data)
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        try:
            fuzzer.run_one(data)
        except Exception:
            print(f"seed {arguments.seed}, after {fuzzer.counts}: {data.hex()}", flush=True)
            raise
        faulthandler.cancel_dump_traceback_later()
    done = fuzzer.counts["accepted"] + fuzzer.counts["refused"]
    print(f"{done:,} inputs in {elapsed:.0f} s, {dict(fuzzer.counts)}, {len(fuzzer.corpus)} kept")
    return 0 if done else 1


def end_with_unraisable(error: sys.UnraisableHookArgs) -> NoReturn:
    """End at once: an index out of bounds in a function that cannot raise would only be printed."""
    print(f"unraisable in the kernel: {error.exc_value!r} in {error.object!r}", flush=True)
    os._exit(70)


def replay(path: Path) -> int:
    """Run one input: the file that ``--last`` names, or plain bytes."""
    from support.wire_oracle import assert_kernel_agrees

    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    data = content[8 : 8 + size] if size <= len(content) - 8 else content
    print("accepted" if assert_kernel_agrees(data) else "refused")
    return 0


def main() -> int:
    """Run the program."""
    arguments = parse_arguments()
    environment = os.environ  # noqa: TID251 - how the build is chosen
    checked = arguments.checked or environment.get("TRACESTORE_KERNEL_BOUNDSCHECK") == "1"
    if (checked or arguments.sanitize) and "FUZZED_BUILD" not in environment:
        return run_in_checked_build(arguments)
    sys.unraisablehook = end_with_unraisable
    sys.path += [str(ROOT / "tests"), str(ROOT / "bench")]
    faulthandler.enable()
    built = Path(importlib.import_module("tracestore.kernel.check").__file__ or "")
    print(f"kernel: {built.parent}")
    assert built.is_relative_to(environment.get("FUZZED_BUILD", "/")), "not the build that was made"
    return replay(arguments.replay) if arguments.replay else fuzz(arguments)


if __name__ == "__main__":
    sys.exit(main())
