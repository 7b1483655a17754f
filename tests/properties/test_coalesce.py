"""Whatever ranges are asked for, the planned requests cover them, within the bounds."""

from hypothesis import given
from hypothesis import strategies as st

from tracestore.storage.objects.coalesce import assemble, coalesce

CONTENT = bytes(range(251)) * 8
RANGES = st.lists(st.tuples(st.integers(0, len(CONTENT) + 50), st.integers(0, 400)), max_size=12)


@given(ranges=RANGES, gap=st.integers(0, 300), longest=st.integers(1, 900))
def test_every_range_is_what_it_would_be_read_alone(
    ranges: list[tuple[int, int]], gap: int, longest: int
) -> None:
    planned = coalesce(ranges, gap=gap, longest=longest)
    read = {offset: CONTENT[offset : offset + length] for offset, length in planned}
    starts = [offset for offset, _ in planned]

    for offset, length in ranges:
        assert assemble((offset, length), read, starts) == CONTENT[offset : offset + length]
    assert all(0 < length <= longest for _, length in planned)
    ends = [offset + length for offset, length in planned]
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
    wanted = {byte for offset, length in ranges for byte in range(offset, offset + length)}
    covered = {byte for offset, length in planned for byte in range(offset, offset + length)}
    assert wanted <= covered
    assert len(planned) <= sum(-(-length // longest) for _, length in ranges) + len(ranges)
