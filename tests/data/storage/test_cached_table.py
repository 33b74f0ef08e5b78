import os

import numpy as np
import pytest

from data.storage.cached_table import cached_table


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for path in paths:
        path.write_bytes(b"content")
    return paths


class Maker:
    """Makes a table, and counts how often."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {"numbers": np.arange(self.calls), "names": np.array(["a", "é"])}


def test_a_table_is_made_once(tmp_path, files):
    make = Maker()
    for _ in range(2):
        table = cached_table(tmp_path / ".table.npz", files, make)
        assert table.keys() == {"numbers", "names"}
        assert table["numbers"].tolist() == [0]
        assert table["names"].tolist() == ["a", "é"]
    assert make.calls == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == [".table.npz", "a.mp4", "b.mp4"]


def test_it_is_made_again_for_other_files(tmp_path, files):
    make, cache = Maker(), tmp_path / ".table.npz"
    cached_table(cache, files, make)
    files[0].write_bytes(b"another content")
    assert len(cached_table(cache, files, make)["numbers"]) == 2
    os.utime(files[0], ns=(1, 1))
    assert len(cached_table(cache, files, make)["numbers"]) == 3
    assert len(cached_table(cache, files[:1], make)["numbers"]) == 4


@pytest.mark.parametrize("content", [b"", b"PK no archive", b"garbage"])
def test_it_is_made_again_where_it_is_damaged(tmp_path, files, content):
    (tmp_path / ".table.npz").write_bytes(content)
    assert len(cached_table(tmp_path / ".table.npz", files, Maker())["numbers"]) == 1


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path, files, caplog):
    cache = tmp_path / "missing" / ".table.npz"
    assert len(cached_table(cache, files, Maker())["numbers"]) == 1
    assert "it will be made again" in caplog.text


def test_it_is_made_again_where_a_folder_has_another_name(tmp_path):
    make, cache = Maker(), tmp_path / ".table.npz"
    folder = tmp_path / "op2"
    folder.mkdir()
    (folder / "rec.mp4").write_bytes(b"content")
    assert len(cached_table(cache, [folder / "rec.mp4"], make)["numbers"]) == 1
    folder = folder.rename(tmp_path / "op3")
    assert len(cached_table(cache, [folder / "rec.mp4"], make)["numbers"]) == 2


def test_where_nothing_can_be_kept_that_is_said_once(tmp_path, files, caplog):
    """A thousand videos would be a thousand lines."""
    make = Maker()
    for number in range(5):
        cached_table(tmp_path / "nowhere" / f"{number}.npz", files, make)
    assert make.calls == 5
    (line,) = caplog.messages
    reason = "no such file or directory"
    assert line == f"{tmp_path}/nowhere: nothing can be kept ({reason}), it will be made again"
