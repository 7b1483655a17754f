import pyarrow as pa
import pytest

from tracestore.storage.block.dictionaries import compact_texts, one_array


@pytest.mark.parametrize(
    ("codes", "kept"),
    [
        ([2, None, 2, 0], ["c", "a"]),
        ([2, 2], ["c"]),
        ([None, None], []),
        ([], []),
        ([0, 1, 2], ["a", "b", "c"]),
    ],
)
def test_only_used_entries_stay(codes: list[int | None], kept: list[str]) -> None:
    array = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), ["a", "b", "c"])

    texts = compact_texts(array)

    assert texts.array.to_pylist() == array.to_pylist()
    assert texts.array.dictionary.to_pylist() == kept
    assert texts.array.null_count == codes.count(None)
    assert [kept[code] for code in texts.codes if code >= 0] == [v for v in array.to_pylist() if v]


def test_a_slice_is_compacted_alone() -> None:
    array = pa.DictionaryArray.from_arrays(pa.array([0, None, 1, 2], pa.int32()), ["a", "b", "c"])

    assert compact_texts(array.slice(1, 2)).array.dictionary.to_pylist() == ["b"]


def test_chunks_with_different_dictionaries_become_one() -> None:
    column = pa.chunked_array(
        [pa.array(["a", "b"]).dictionary_encode(), pa.array(["b", None]).dictionary_encode()]
    )

    joined = one_array(column)

    assert isinstance(joined, pa.DictionaryArray)
    assert joined.to_pylist() == ["a", "b", "b", None]
    assert sorted(joined.dictionary.to_pylist()) == ["a", "b"]
