"""Packets: nothing lost, nothing too long, one at least."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracestore.codec.packets import cut_packets

items = st.lists(st.integers(1, 20).map(lambda size: b"i" * size), max_size=30)


@given(items, st.integers(0, 5), st.integers(0, 5), st.integers(1, 60))
def test_items_are_cut_into_packets_in_order(
    items: list[bytes], tail: int, last: int, bytes_max: int
) -> None:
    marked = [bytes([number]) * len(item) for number, item in enumerate(items, 1)]
    end, more = b"t" * tail, b"l" * last

    packets = cut_packets(iter(marked), end, bytes_max, last=more)

    assert packets
    assert packets[-1].endswith(end + more)
    bodies = [packet[: len(packet) - tail] for packet in packets[:-1]]
    bodies.append(packets[-1][: len(packets[-1]) - tail - last])
    assert all(packet.endswith(end) for packet in packets[:-1])
    assert b"".join(bodies) == b"".join(marked)
    for packet, body in zip(packets, bodies, strict=True):
        assert len(packet) <= bytes_max or len(set(body)) <= 1
        assert body or len(packets) == 1
