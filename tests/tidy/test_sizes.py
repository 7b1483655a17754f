"""Sizes of style: a module has at most 500 lines, a function at most 70."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
MODULE_EXCEPTIONS: dict[str, int] = {}
"""Longer modules with the length they may have. This list may only shrink."""
FUNCTION_EXCEPTIONS: dict[str, int] = {}
"""Longer functions, as ``path:name``. This list may only shrink."""

MODULES = sorted(
    path
    for package in ("tracestore", "traceql", "tests", "bench")
    for pattern in ("*.py", "*.pyx")
    for path in (ROOT / package).rglob(pattern)
    if not path.stem.endswith(("_pb2", "_pb2_grpc"))
)


def functions(path: Path) -> list[tuple[str, int]]:
    tree = ast.parse(path.read_text())
    return [
        (node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_not_too_long(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    assert len(path.read_text().splitlines()) <= MODULE_EXCEPTIONS.get(name, MODULE_LINES_MAX)


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.suffix == ".py"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_functions_are_not_too_long(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    too_long = {
        function: lines
        for function, lines in functions(path)
        if lines > FUNCTION_EXCEPTIONS.get(f"{name}:{function}", FUNCTION_LINES_MAX)
    }
    assert not too_long


def test_exceptions_are_still_needed() -> None:
    for name, lines in MODULE_EXCEPTIONS.items():
        assert len((ROOT / name).read_text().splitlines()) == lines, name
    for entry, lines in FUNCTION_EXCEPTIONS.items():
        name, function = entry.split(":")
        assert (function, lines) in functions(ROOT / name), entry
