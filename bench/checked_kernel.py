"""Builds a copy of the package whose kernel checks every index, for the fuzzer.

Sources are copied, so that neither build sees the C files of the other. With ``--sanitize`` the
compiler adds AddressSanitizer and UndefinedBehaviorSanitizer, which see what goes past the bounds
checks of Cython: plain pointers.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIRECTIVES = {
    "language_level": "3",
    "boundscheck": True,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "show_performance_hints": False,
}
SHARED = "tracestore.kernel._cyutility"
"""Module of what Cython would else write into each of the others; it halves the time to build."""
PLAIN_FLAGS = ["-O0", "-fno-strict-aliasing"]
SANITIZER_FLAGS = [
    "-g",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=undefined",
    "-fno-sanitize=alignment,null",  # rows are cast from bytes; addresses of nothing are not read
]


def kernel_sources() -> list[Path]:
    """List what the build depends on."""
    kernel = ROOT / "tracestore" / "kernel"
    return sorted(path for pattern in ("*.pyx", "*.pxd") for path in kernel.glob(pattern))


def build(directory: Path, *, sanitize: bool) -> Path:
    """Build below ``directory``, unless the same sources were built there before.

    Returns: what to put on the module path.
    """
    digest = hashlib.sha256(repr((sanitize, sys.version)).encode())
    for path in [Path(__file__), *kernel_sources()]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    home = directory / digest.hexdigest()[:16]
    done = home / "done"
    package = home / "tracestore"
    if not done.exists():
        shutil.rmtree(home, ignore_errors=True)
        ignored = shutil.ignore_patterns("*.so", "*.c", "*.cpp", "__pycache__")
        shutil.copytree(ROOT / "tracestore", package, ignore=ignored)
        command = [sys.executable, __file__, "--compile", *(["--sanitize"] if sanitize else [])]
        subprocess.run(command, cwd=home, check=True)
        done.touch()
    else:  # what is not compiled may have changed
        ignored = shutil.ignore_patterns("kernel", "__pycache__")
        shutil.copytree(ROOT / "tracestore", package, ignore=ignored, dirs_exist_ok=True)
        for path in (ROOT / "tracestore" / "kernel").glob("*.py"):
            shutil.copy(path, package / "kernel")
    return home


def compile_here(*, sanitize: bool) -> None:
    """Compile ``tracestore/kernel`` of the working directory in place."""
    from Cython.Build import cythonize
    from setuptools import Extension, setup

    flags = SANITIZER_FLAGS if sanitize else []
    extensions = [
        Extension(
            f"tracestore.kernel.{source.stem}",
            [str(source)],
            extra_compile_args=[*PLAIN_FLAGS, *flags],
            extra_link_args=flags,
        )
        for source in sorted(Path("tracestore/kernel").glob("*.pyx"))
    ]
    shared = Extension(SHARED, [f"{SHARED.replace('.', '/')}.c"], extra_compile_args=["-O0"])
    parallel = min(4, os.cpu_count() or 1)
    setup(
        script_args=["--quiet", "build_ext", "--inplace", f"--parallel={parallel}"],
        ext_modules=cythonize(
            [shared, *extensions],
            compiler_directives=DIRECTIVES,
            shared_utility_qualified_name=SHARED,
            quiet=True,
        ),
    )


def sanitizer_environment() -> dict[str, str]:
    """Tell what a Python needs in its environment to run a sanitized kernel."""
    found = [
        subprocess.run(
            ["gcc", f"-print-file-name={library}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for library in ("libasan.so", "libubsan.so")
    ]
    return {
        "LD_PRELOAD": " ".join(found),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",  # so that the end of every bytes object is guarded
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compile", action="store_true", required=True)
    parser.add_argument("--sanitize", action="store_true")
    compile_here(sanitize=parser.parse_args().sanitize)
