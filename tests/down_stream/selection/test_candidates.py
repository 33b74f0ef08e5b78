import numpy as np
import pytest

from data.common.errors import InputError
from down_stream.selection.candidates import open_candidates, without_lost
from down_stream.selection.labelled import mark, spans_of_file, spans_of_index, videos_of_tests
from tests.support.small_tables import make_candidates, make_rows


def test_frames_are_grouped_in_the_order_of_names_and_time():
    rows = make_rows(units=11)
    order = np.random.default_rng(0).permutation(len(rows))
    candidates = open_candidates(rows.take(order), "video", (), 1.0)
    assert candidates.names == tuple(f"video{n:02d}" for n in range(1, 12))
    assert (np.diff(candidates.bounds) == 20).all()
    np.testing.assert_array_equal(candidates.rows.second, np.tile(np.arange(20), 11))
    np.testing.assert_allclose(np.linalg.norm(candidates.points, axis=1), 1, rtol=1e-5)
    assert len(candidates.sampled(22)) == 22


def test_videos_are_cut_into_intervals():
    candidates = make_candidates(kind="interval", units=2, frames=24, interval=10.0)
    spans = list(zip(candidates.names, candidates.start, candidates.end, strict=True))
    assert spans == [(f"video{n:02d}", *s) for n in (1, 2) for s in ((0, 10), (10, 24))]
    marked, unknown = mark(candidates, [("video02", 10, 10), ("video09", 0, 1)])
    assert marked.tolist() == [False, False, False, True]
    assert unknown == ["video09"]
    assert mark(candidates, [("video01", -np.inf, np.inf)])[0].tolist() == [
        True,
        True,
        False,
        False,
    ]
    assert not mark(candidates, [("video01", 24, 30)])[0].any()


def test_intervals_need_times():
    rows = make_rows(units=2)
    rows.second[3] = np.nan
    with pytest.raises(InputError, match="frames without a time"):
        open_candidates(rows, "interval", (), 1.0)


def test_videos_that_are_gone_are_named(tmp_path):
    rows = make_rows(units=3)
    paths = [tmp_path / f"{n}.mp4" for n in range(3)]
    for path in paths[:2]:
        path.touch()
    with_paths = type(rows)(
        *[rows.embeddings, rows.video, rows.second, rows.frame],
        *[np.repeat([str(path) for path in paths], 20), rows.probabilities],
    )
    left, lines = without_lost(with_paths)
    assert set(left.video) == {"video01", "video02"}
    assert "video03: cannot be read any more" in lines[0]
    for path in paths[:2]:
        path.unlink()
    assert without_lost(with_paths) == (with_paths, [])  # made on another machine


def test_lists_of_what_has_labels(tmp_path):
    file = tmp_path / "list"
    file.write_text("order,video,typicality\n1,op 1,0.5\n2,op2,0.4\n")
    assert [name for name, *_ in spans_of_file(file)] == ["op 1", "op2"]
    file.write_text("op 1\n\nop2\n")
    assert spans_of_file(file) == [("op 1", -np.inf, np.inf), ("op2", -np.inf, np.inf)]
    file.write_text("video,start,end\nop1,10,20\n")
    assert spans_of_file(file) == [("op1", 10, 20)]
    file.write_text("video,start,end\nop1,10,late\n")
    with pytest.raises(InputError, match=r"line 2: .*late.*; expected seconds"):
        spans_of_file(file)
    with pytest.raises(InputError, match="expected a list of videos"):
        spans_of_file(tmp_path / "nowhere")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_list_as_a_spreadsheet_saves_it(tmp_path, encoding, caplog):
    file = tmp_path / "labelled.csv"
    file.write_bytes("order;video;start;end\r\n1;Magen f\xfcr 1;60;120,5\r\n".encode(encoding))
    assert spans_of_file(file) == [("Magen f\xfcr 1", 60.0, 120.5)]
    assert ("read as Windows-1252" in caplog.text) == (encoding == "cp1252")
    file.write_bytes("Magen f\xfcr 1\r\nop2\r\n".encode(encoding))
    assert [name for name, *_ in spans_of_file(file)] == ["Magen f\xfcr 1", "op2"]
    file.write_bytes(b"\0\1\2")
    with pytest.raises(InputError, match="expected text"):
        spans_of_file(file)


def test_a_name_from_a_mac_is_the_same_name():
    rows = make_rows(units=1)
    rows.video[:] = "Mu\u0308ller"
    candidates = open_candidates(rows, "video", (), None)
    marked, unknown = mark(candidates, [("M\xfcller", -np.inf, np.inf)])
    assert marked.all() and not unknown


def test_labels_and_tests_of_a_data_set(small_dataset):
    from data.dataset.frame_index import load_index

    index = load_index(small_dataset)
    assert {name for name, *_ in spans_of_index(small_dataset, index, "phases")} == set(
        index.videos
    )
    assert len(spans_of_index(small_dataset, index, "tools")) == len(index)
    with pytest.raises(InputError, match="task is 'organs'"):
        spans_of_index(small_dataset, index, "organs")
    assert videos_of_tests(small_dataset, index.videos) == {}
