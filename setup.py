"""Builds the one compiled package, ``tracestore/kernel``; everything else is in pyproject.toml.

``TRACESTORE_KERNEL_BOUNDSCHECK=1`` builds with bounds checks on, as the fuzz tests use it.
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

SHARED = "tracestore.kernel._cyutility"
"""Module of what Cython would else write into each of the others: half the build, half the size."""
CHECKED = bool(int(os.environ.get("TRACESTORE_KERNEL_BOUNDSCHECK", "0")))  # noqa: TID251 - build time

sources = sorted(Path("tracestore/kernel").glob("*.pyx"))
extensions = [
    Extension(
        f"tracestore.kernel.{source.stem}",
        [str(source)],
        extra_compile_args=[]
        if sys.platform == "win32"
        else ["-O3", "-g0", "-fno-strict-aliasing"],
    )
    for source in sources
]
extensions.append(Extension(SHARED, [f"{SHARED.replace('.', '/')}.c"]))
setup(
    ext_modules=cythonize(
        extensions,
        compiler_directives={
            "language_level": "3",
            "boundscheck": CHECKED,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
        },
        build_dir="build/cython",
        shared_utility_qualified_name=SHARED,
    ),
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
