"""``${...}`` in the text of a configuration file, as Tempo's ``-config.expand-env`` has it.

Source: HTTP API reference, section 19.1; the parameter expansion of POSIX shells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from tracestore.errors import SettingsError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CHOICE = re.compile(r":[-=+]|[-=]")
_SUBSTRING = re.compile(r":\s*(-?\d+)(?::(\d+))?")
_CASES: Mapping[str, Callable[[str], str]] = {
    "^^": str.upper,
    ",,": str.lower,
    "^": lambda text: text[:1].upper() + text[1:],
    ",": lambda text: text[:1].lower() + text[1:],
}


def expand_environment(text: str, environ: Mapping[str, str], *, source: str) -> str:
    """Replace ``${VAR}`` and its kin; ``$$`` is one dollar and ``$VAR`` stays as it is.

    Known forms: ``${V}``, ``${V:-word}``, ``${V-word}``, ``${V:=word}``, ``${V=word}``,
    ``${V:+word}``, ``${#V}``, ``${V^}``, ``${V^^}``, ``${V,}``, ``${V,,}``, ``${V:2:3}``,
    ``${V#prefix}``, ``${V%suffix}``, ``${V/old/new}``, ``${V//old/new}``, ``${V/#old/new}``,
    ``${V/%old/new}``, the last six with plain texts.
    A word may hold an expansion itself. An undefined variable is empty.

    Raises:
        SettingsError: an expansion is not closed or not one of these, with its line.
    """
    out: list[str] = []
    at = 0
    while (dollar := text.find("$", at)) >= 0:
        out.append(text[at:dollar])
        if text.startswith("$$", dollar):
            out.append("$")
            at = dollar + 2
        elif text.startswith("${", dollar):
            end = _closing_brace(text, dollar + 2)
            where = f"{source}:{text.count(chr(10), 0, dollar) + 1}"
            if end < 0:
                raise SettingsError(f"{where}: ${{ is not closed")
            out.append(_expand_one(text[dollar + 2 : end], environ, where))
            at = end + 1
        else:
            out.append("$")
            at = dollar + 1
    out.append(text[at:])
    return "".join(out)


def _closing_brace(text: str, at: int) -> int:
    depth = 1
    while at < len(text):
        if text.startswith("${", at):
            depth += 1
            at += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    return -1


def _expand_one(body: str, environ: Mapping[str, str], where: str) -> str:
    if body.startswith("#") and _NAME.fullmatch(body, 1):
        return str(len(environ.get(body[1:], "")))
    name = _NAME.match(body)
    if name is None:
        raise SettingsError(f"{where}: ${{{body}}} names no variable")
    value = environ.get(name[0])
    rest = body[name.end() :]
    if rest == "":
        return value or ""
    if choice := _CHOICE.match(rest):
        word = expand_environment(rest[choice.end() :], environ, source=where)
        if choice[0] == ":+":
            return word if value else ""
        if choice[0].startswith(":"):
            return value or word
        return word if value is None else value
    changed = _change(value or "", rest)
    if changed is None:
        raise SettingsError(f"{where}: ${{{body}}} is an expansion that is not supported")
    return changed


def _change(value: str, rest: str) -> str | None:
    """Apply a form that changes the value; None if ``rest`` is none of them."""
    if rest in _CASES:
        return _CASES[rest](value)
    if substring := _SUBSTRING.fullmatch(rest):
        start = int(substring[1])
        tail = value[start:]
        return tail if substring[2] is None else tail[: int(substring[2])]
    if rest.startswith("/"):
        return _replace(value, rest[1:])
    operand = rest.lstrip("#%")
    if "*" in operand or "?" in operand or "[" in operand:
        return None
    if rest.startswith("#"):
        return value.removeprefix(operand)
    if rest.startswith("%"):
        return value.removesuffix(operand)
    return None


def _replace(value: str, rest: str) -> str:
    """Apply ``old/new``; behind one more ``/`` everywhere, ``#`` at the start, ``%`` at the end."""
    where = rest[:1] if rest[:1] in ("/", "#", "%") else ""
    old, _, new = rest.removeprefix(where).partition("/")
    if where == "#":
        return new + value.removeprefix(old) if value.startswith(old) else value
    if where == "%":
        return value.removesuffix(old) + new if value.endswith(old) else value
    return value.replace(old, new, -1 if where else 1) if old else value
