import dataclasses

import numpy as np
import pytest

from data.common.errors import InputError
from down_stream.lookup.key_frames import key_frames
from down_stream.lookup.tables import Rows, Table, read_tables
from tests.support.small_tables import make_rows, write_rows

SAID = np.tile(np.array([0.25, 0.75], np.float32), (240, 1))


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_what_was_written_is_read_in_parts_or_whole(tmp_path, suffix):
    rows = make_rows(probabilities=SAID)
    path = write_rows(tmp_path / f"table{suffix}", rows, classes=("a", "b"))
    table = Table(path)
    assert (table.length, table.width, table.classes) == (240, 6, ("a", "b"))
    assert table.metadata["fps"] == 1.0
    parts = list(table.parts(100))
    assert [len(part) for part in parts] == [100, 100, 40]
    for found in (Rows.joined(parts), table.read()):
        for field in dataclasses.fields(Rows):
            np.testing.assert_array_equal(getattr(found, field.name), getattr(rows, field.name))


def test_several_tables_are_read_as_one(tmp_path):
    first = write_rows(tmp_path / "a.npz", make_rows(units=2))
    second = write_rows(
        tmp_path / "b.parquet", make_rows(units=3, probabilities=SAID[:60]), classes=("a", "b")
    )
    rows, classes, fps = read_tables([first, second])
    assert (len(rows), classes, fps) == (100, ("a", "b"), 1.0)
    assert np.isnan(rows.probabilities[:40]).all()
    wide = write_rows(tmp_path / "c.npz", make_rows(width=7))
    with pytest.raises(InputError, match="expected tables of one encoder"):
        read_tables([first, wide])
    other = write_rows(tmp_path / "d.npz", make_rows(), fingerprint="x")
    another = write_rows(tmp_path / "e.npz", make_rows(), fingerprint="y")
    with pytest.raises(InputError, match="of another encoder"):
        read_tables([other, another])


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_a_damaged_table_is_named(tmp_path, suffix):
    path = write_rows(tmp_path / f"table{suffix}", make_rows())
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=f"table{suffix}: not a table that can be read"):
        Table(path).read()
    rows = make_rows()
    rows.embeddings[5, 2] = np.nan
    with pytest.raises(InputError, match="not finite"):
        Table(write_rows(path, rows)).read()
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(InputError, match="not a table that can be read"):
        Table(tmp_path / "other.npz")


def test_key_frames_are_of_all_parts_of_a_video():
    random = np.random.default_rng(0)
    part = np.repeat([0, 1, 2, 0], 50)
    features = np.eye(8)[part] + random.normal(0, 0.05, (200, 8))
    found = key_frames(features, 4)
    assert sorted(set(np.searchsorted([50, 100, 150], found, side="right"))) == [0, 1, 2, 3]
    np.testing.assert_array_equal(found, key_frames(features, 4))
    assert len(key_frames(np.zeros((30, 8)), 4)) <= 4  # the same picture all over
    assert key_frames(features[:3], 4).tolist() == [0, 1, 2]
