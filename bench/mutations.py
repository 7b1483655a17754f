"""Mutations of protobuf messages for the fuzzer: of bytes, and of the tree of fields.

Mutated bytes are mostly malformed; a mutated tree is written with right lengths, so that it gets
past the outer messages and reaches the corners of the decoder.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

VARINT, FIXED64, LENGTH, GROUP, GROUP_END, FIXED32 = range(6)
DEPTH_MAX = 30
KNOWN_NUMBERS_MAX = 20
NUMBERS = [0, 1, 2, 127, 128, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
CHUNKS = [
    b"",
    b"\0",
    b"\xff",
    b"\x80" * 10,
    b"\xff" * 9 + b"\x01",
    b"\x0a\xff\xff\xff\xff\x0f",
    b"\xa3\x01",
    b"\xa4\x01",
    b"\xf0\x9f\x98\x80",
    b"\xed\xa0\x80",
    bytes(8),
    bytes(16),
]


@dataclass(slots=True)
class Field:
    """A field; the value of a LENGTH is fields where it reads as a message, else bytes."""

    number: int
    wire_type: int
    value: int | bytes | list[Field]


def read_varint(data: bytes, at: int) -> tuple[int, int] | None:
    """Read a varint. Returns it and where it ends, None if it is cut off or too long."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            return None
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    return None


def parse(data: bytes, depth: int = 0) -> list[Field] | None:
    """Read a message into fields, None if it does not look like one."""
    fields = []
    at = 0
    while at < len(data):
        tag = read_varint(data, at)
        if tag is None or not 0 < tag[0] >> 3 <= KNOWN_NUMBERS_MAX:
            return None
        found = _parse_value(data, tag[1], tag[0] & 7, depth)
        if found is None:
            return None
        fields.append(Field(tag[0] >> 3, tag[0] & 7, found[0]))
        at = found[1]
    return fields


def _parse_value(
    data: bytes, at: int, wire_type: int, depth: int
) -> tuple[int | bytes | list[Field], int] | None:
    if wire_type == VARINT:
        return read_varint(data, at)
    if wire_type in (FIXED64, FIXED32):
        end = at + (8 if wire_type == FIXED64 else 4)
        return (int.from_bytes(data[at:end], "little"), end) if end <= len(data) else None
    size = read_varint(data, at)
    if wire_type != LENGTH or size is None or size[1] + size[0] > len(data):
        return None
    content = data[size[1] : size[1] + size[0]]
    inner = parse(content, depth + 1) if content and depth < DEPTH_MAX else None
    return content if inner is None else inner, size[1] + size[0]


def write_varint(value: int) -> bytes:
    """Write an integer of up to 64 bits."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def write(fields: list[Field]) -> bytes:
    """Write fields as a message, with right lengths."""
    parts = []
    for field in fields:
        parts.append(write_varint(field.number << 3 | field.wire_type))
        if isinstance(field.value, int):
            if field.wire_type == VARINT:
                parts.append(write_varint(field.value))
            elif field.wire_type in (FIXED64, FIXED32):
                size = 8 if field.wire_type == FIXED64 else 4
                parts.append((field.value % (1 << 8 * size)).to_bytes(size, "little"))
            continue
        content = field.value if isinstance(field.value, bytes) else write(field.value)
        parts += [write_varint(len(content)), content]
    return b"".join(parts)


def _lists(fields: list[Field]) -> list[list[Field]]:
    found = [fields]
    for one in found:  # grows while it is read
        found += [field.value for field in one if isinstance(field.value, list)]
    return found


def mutate_tree(rng: random.Random, data: bytes, donor: bytes) -> bytes:
    """Change one to three fields of a message, some taken from another message."""
    fields = parse(data)
    if not fields:
        return mutate_bytes(rng, data, donor)
    for _ in range(rng.randint(1, 3)):
        place = rng.choice(_lists(fields))
        if place:
            _mutate_field(rng, place, rng.randrange(len(place)), parse(donor) or [])
    return write(fields)


def _mutate_field(rng: random.Random, place: list[Field], at: int, donor: list[Field]) -> None:
    field = place[at]
    match rng.randrange(8):
        case 0:
            del place[at]
        case 1:
            place.insert(
                rng.randint(0, len(place)), Field(field.number, field.wire_type, field.value)
            )
        case 2:
            rng.shuffle(place)
        case 3:
            field.number = rng.choice([*range(1, KNOWN_NUMBERS_MAX), 2**29 - 1])
        case 4:
            field.wire_type, field.value = _scalar(rng)
        case 5:
            place.insert(at, Field(field.number, LENGTH, rng.choice(CHUNKS)))
        case 6:
            place[at:at] = rng.choices([f for one in _lists(donor) for f in one] or [field])
        case 7 if isinstance(field.value, list):
            place[at : at + 1] = _halves(field, rng.randint(0, len(field.value)))
        case 7:
            field.value, field.wire_type = (
                [Field(field.number, field.wire_type, field.value)],
                LENGTH,
            )


def _halves(field: Field, cut: int) -> list[Field]:
    """Write a message in two parts, which readers must join."""
    assert isinstance(field.value, list)
    return [
        Field(field.number, LENGTH, field.value[:cut]),
        Field(field.number, LENGTH, field.value[cut:]),
    ]


def _scalar(rng: random.Random) -> tuple[int, int]:
    return rng.choice([VARINT, FIXED64, FIXED32, GROUP, GROUP_END]), rng.choice(NUMBERS)


def flip_bits(rng: random.Random, data: bytes, donor: bytes) -> bytes:
    """Flip one to eight bits."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(rng: random.Random, data: bytes, donor: bytes) -> bytes:
    """Cut off the end."""
    return data[: rng.randrange(len(data))]


def overwrite(rng: random.Random, data: bytes, donor: bytes) -> bytes:
    """Put bytes that mean something in place of others, of the same number or not."""
    at, chunk = rng.randrange(len(data)), rng.choice(CHUNKS)
    return data[:at] + chunk + data[at + rng.choice([0, 1, len(chunk)]) :]


def splice(rng: random.Random, data: bytes, donor: bytes) -> bytes:
    """Go on in the middle of another message."""
    return data[: rng.randrange(len(data))] + donor[rng.randrange(len(donor) + 1) :]


def tamper_with_a_length(rng: random.Random, data: bytes, donor: bytes) -> bytes:
    """Follow lengths inwards for a while and change the last of them."""
    at, start, size = 0, 0, 0
    for _ in range(rng.randint(1, 8)):
        tag = read_varint(data, at)
        length = None if tag is None or tag[0] & 7 != LENGTH else read_varint(data, tag[1])
        if tag is None or length is None:
            break
        start, size, at = tag[1], length[0], length[1]
        if rng.random() < 0.3:
            at += size
    changed = rng.choice([size + 1, max(size - 1, 0), size * 2, *NUMBERS])
    return data[:start] + write_varint(changed) + data[at:]


BYTE_MUTATIONS: list[Callable[[random.Random, bytes, bytes], bytes]] = [
    flip_bits,
    truncate,
    overwrite,
    splice,
    tamper_with_a_length,
]


def mutate_bytes(rng: random.Random, data: bytes, donor: bytes) -> bytes:
    """Apply one mutation that knows nothing of fields."""
    return rng.choice(BYTE_MUTATIONS)(rng, data, donor) if data else rng.choice(CHUNKS)


def mutate(rng: random.Random, data: bytes, donor: bytes) -> bytes:
    """Apply mutations of either sort, more often of the tree."""
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        data = (mutate_tree if rng.random() < 0.65 else mutate_bytes)(rng, data, donor)
    return data
