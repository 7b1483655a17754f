"""Numbers and times as people read them; texts of strangers made safe to print. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tracestore.model.times import MILLISECOND_NS, SECOND_NS

_UNITS = ((SECOND_NS, "s"), (MILLISECOND_NS, "ms"), (1000, "µs"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_10000_NS = 253_402_300_800 * SECOND_NS


def duration_words(duration_ns: int) -> str:
    """Write a duration with three digits: ``4.57ms``, ``120ms``, ``2m05s``, ``3h07m``."""
    if duration_ns < 0:
        return f"-{duration_words(-duration_ns)}"
    if duration_ns >= 60 * SECOND_NS:
        minutes, seconds = divmod(round(duration_ns / SECOND_NS), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds:02}s"
    for unit_ns, unit in _UNITS:
        if duration_ns >= unit_ns:
            number = duration_ns / unit_ns
            places = 2 if number < 10 else 1 if number < 100 else 0
            text = f"{number:.{places}f}"
            return f"{text.rstrip('0').rstrip('.') if places else text}{unit}"
    return f"{duration_ns}ns"


def time_words(time_ns: int) -> str:
    """Write a time in UTC to the millisecond; a year that no calendar has stays a number."""
    if not 0 <= time_ns < _YEAR_10000_NS:
        return f"{time_ns}ns"
    moment = _EPOCH + timedelta(milliseconds=time_ns // MILLISECOND_NS)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}"


def counted(count: int, word: str) -> str:
    """Write ``1 span``, ``2 spans``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def bytes_words(size: int) -> str:
    """Write a size with three digits: ``512 B``, ``4.57 KiB``, ``120 MiB``."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        value /= 1024
        if value < 999.5 or unit == "PiB":
            break
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"


def printable(text: str) -> str:
    """Escape what is no sign of writing: a span's name must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
