import numpy as np
import pytest

from data.common.errors import InputError
from down_stream.search_index import building, codes, searching
from down_stream.search_index.building import build_index
from down_stream.search_index.query import find, query_of_rows
from down_stream.search_index.searching import SearchIndex, unit_vectors
from tests.support.small_tables import make_rows, write_rows


@pytest.fixture
def small_pieces(monkeypatch):
    for module in (building, codes, searching):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 64)


def exact(rows, query_row, number):
    points = unit_vectors(rows.embeddings, rows.embeddings.mean(axis=0))
    return np.argsort(-(points @ points[query_row]), kind="stable")[:number]


def test_the_nearest_are_those_of_all_comparisons_across_pieces_and_tables(tmp_path, small_pieces):
    rows = make_rows(units=15)
    parts = rows.take(slice(0, 100)), rows.take(slice(100, None))
    tables = [write_rows(tmp_path / f"{n}.parquet", part) for n, part in enumerate(parts)]
    index = build_index(tables, tmp_path / "index")
    assert len(list((tmp_path / "index").glob("piece_*.npy"))) == 5
    assert len(index) == 300
    for row in (0, 99, 100, 299):
        found, likeness = index.nearest(query_of_rows(index, [row]), 10)
        assert len(set(found) & set(exact(rows, row, 10))) >= 9  # half precision on the disk
        assert found[0] == row
        assert likeness[0] == pytest.approx(1, abs=1e-3)
        one = index.frame(row)
        assert (one.video, one.second) == (rows.video[row], rows.second[row])
        assert index.row_of(one.video, one.second + 0.3) == row


def test_one_frame_of_ten_seconds_and_none_beside_the_query(tmp_path):
    rows = make_rows(units=6, frames=30, kinds=1)
    index = build_index([write_rows(tmp_path / "t.npz", rows)], tmp_path / "index")
    asked = [index.frame(index.row_of("video02", 15))]
    query = query_of_rows(index, [asked[0].row])
    found = find(index, query, 12, 10.0, asked)
    assert len(found) == 12
    assert [one.likeness for one in found] == sorted([one.likeness for one in found])[::-1]
    for one in found:
        beside = [o for o in [*found, *asked] if o.video == one.video and o.row != one.row]
        assert all(abs(o.second - one.second) >= 10 for o in beside)
    assert len(find(index, query, 999, 0.0, asked)) == 179
    assert len(find(index, query, 999, 40.0, asked)) == 5


@pytest.mark.parametrize("are_timed", [True, False])
def test_a_second_that_a_video_does_not_have_is_not_another(tmp_path, are_timed):
    rows = make_rows(units=3, frames=30)
    if not are_timed:  # then their places count
        rows.second[:] = np.nan
    index = build_index([write_rows(tmp_path / "t.npz", rows)], tmp_path / "index")
    assert index.row_of("video01", 29.9) == index.row_of("video01", 29) == 29
    for second in (3000, -40):
        with pytest.raises(InputError, match=f"second {second}; its frames .* 0 to 29"):
            index.row_of("video01", second)


def test_frames_without_a_time_are_one_of_a_sequence(tmp_path):
    rows = make_rows(units=6, frames=5)
    rows.second[:] = np.nan
    index = build_index([write_rows(tmp_path / "t.npz", rows)], tmp_path / "index")
    assert len({one.video for one in find(index, query_of_rows(index, [0]), 99)}) == 6


def test_what_is_written_is_kept_until_the_tables_change(tmp_path, small_pieces, monkeypatch):
    table, folder = write_rows(tmp_path / "t.npz", make_rows()), tmp_path / "index"
    build_index([table], folder)
    (folder / "index.json").unlink()
    times = {file: file.stat().st_mtime_ns for file in folder.glob("piece_*")}
    with pytest.raises(InputError, match="no complete index"):
        SearchIndex(folder)
    build_index([table], folder)
    assert times == {file: file.stat().st_mtime_ns for file in folder.glob("piece_*")}
    write_rows(table, make_rows(units=5))
    assert len(build_index([table], folder)) == 100
    assert len(list(folder.glob("piece_*.npy"))) == 2
    with pytest.raises(InputError, match="video77: not in"):
        SearchIndex(folder).row_of("video77", 0)


def test_many_frames_need_faiss_which_finds_nearly_the_same(tmp_path, monkeypatch):
    import faiss

    random = np.random.default_rng(0)
    rows = make_rows(units=150, frames=20, width=16, kinds=10)
    rows.embeddings[:] += random.normal(0, 0.3, rows.embeddings.shape)
    index = build_index([write_rows(tmp_path / "t.npz", rows)], tmp_path / "index", large=3000)
    assert faiss.read_index(str(tmp_path / "index" / "codes.faiss")).ntotal == 3000
    recalls = [
        len(set(index.nearest(query_of_rows(index, [row]), 10)[0]) & set(exact(rows, row, 10))) / 10
        for row in range(0, 3000, 150)
    ]
    assert np.mean(recalls) >= 0.9


def test_codes_that_a_stopped_call_has_written_are_kept(tmp_path, small_pieces, monkeypatch):
    import faiss

    monkeypatch.setattr(codes, "CODES_KEPT_EVERY", 2)
    table, coded = write_rows(tmp_path / "t.npz", make_rows(units=30, width=16)), []
    add = faiss.IndexIVFPQ.add

    def stop_at_the_fourth(index, vectors):
        coded.append(len(vectors))
        if len(coded) == 4:
            raise KeyboardInterrupt
        add(index, vectors)

    for folder in "whole", "stopped":
        if folder == "stopped":
            monkeypatch.setattr(faiss.IndexIVFPQ, "add", stop_at_the_fourth)
            with pytest.raises(KeyboardInterrupt):
                build_index([table], tmp_path / folder, large=600)
        build_index([table], tmp_path / folder, large=600)
    assert coded == [64] * 3 + [64] + [64] * 7 + [24]  # after the fourth, on from the third
    whole, stopped = (tmp_path / folder / "codes.faiss" for folder in ("whole", "stopped"))
    assert whole.read_bytes() == stopped.read_bytes()


def test_without_faiss_many_frames_end_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    table = write_rows(tmp_path / "t.npz", make_rows())
    with pytest.raises(InputError, match=r"pip install -r requirements-search\.txt"):
        build_index([table], tmp_path / "index", large=200)
    assert not (tmp_path / "index" / "index.json").exists()
