import json
import zipfile

import numpy as np
import pyarrow.parquet as pq
import pytest

from data.common.errors import InputError
from down_stream.inference.options import check_output
from down_stream.inference.parts import table as inference_table
from down_stream.inference.parts.table import in_parts, write_table


def columns():
    """Ten rows; columns in parts of other lengths, and texts of growing length."""
    values = np.random.default_rng(0).normal(size=(10, 2, 3)).astype(np.float32)
    names = np.array([f"video {'x' * row}" for row in range(10)])
    return {
        "embeddings": lambda: iter([values[:4], values[4:5], values[5:]]),
        "video": lambda: iter([names[:7], names[7:]]),
        "second": lambda: iter([np.arange(10.0)]),
    }


def whole(column):
    return np.concatenate(list(column()))


def test_npz_without_pickle(tmp_path):
    write_table(tmp_path / "deep" / "a.npz", 10, columns(), ("one", "two"), {"fps": 1.0})
    with np.load(tmp_path / "deep" / "a.npz", allow_pickle=False) as table:
        assert table.files == ["embeddings", "video", "second", "classes", "metadata"]
        for name, column in columns().items():
            np.testing.assert_array_equal(table[name], whole(column))
        assert table["classes"].tolist() == ["one", "two"]
        assert json.loads(str(table["metadata"])) == {"fps": 1.0}
    assert zipfile.ZipFile(tmp_path / "deep" / "a.npz").testzip() is None
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["a.npz"]


def test_parquet(tmp_path):
    write_table(tmp_path / "a.parquet", 10, columns(), ("one", "two"), {"fps": 1.0})
    table = pq.read_table(tmp_path / "a.parquet")
    assert str(table.schema.field("embeddings").type).count("fixed_size_list") == 2
    for name, column in columns().items():
        np.testing.assert_array_equal(np.array(table[name].to_pylist()), whole(column))
    assert json.loads(table.schema.metadata[b"classes"]) == ["one", "two"]
    assert json.loads(table.schema.metadata[b"metadata"]) == {"fps": 1.0}


def test_columns_are_made_some_rows_at_a_time(monkeypatch):
    monkeypatch.setattr(inference_table, "ROWS_AT_ONCE", 4)
    made = list(in_parts(10, lambda rows: np.arange(10)[rows])())
    assert [part.tolist() for part in made] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize("name", ["a.csv", "folder.npz", "file/a.npz"])
def test_where_a_table_cannot_be_written(tmp_path, name):
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=name.split("/")[0]):
        check_output(tmp_path / name)
