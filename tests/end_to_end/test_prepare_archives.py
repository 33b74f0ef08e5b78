"""Datasets from archives, by the command `prepare.py`."""

import tarfile

import numpy as np
import pytest

from data.dataset.frame_index import load_index
from tests.support.prepared import prepare
from tests.support.record_files import write_records
from tests.support.small_videos import write_video


@pytest.fixture
def archive(tmp_path):
    """The official layout in a .tar.gz, with one video and its phases."""
    folder = tmp_path / "packed" / "cholec80"
    write_video(folder / "videos" / "video01.mp4", 25, 60)
    (folder / "phase_annotations").mkdir()
    rows = "".join(f"{frame}\tClippingCutting\n" for frame in range(60))
    (folder / "phase_annotations" / "video01-phase.txt").write_text(f"Frame\tPhase\n{rows}")
    path = tmp_path / "served" / "cholec80.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, "cholec80")
    return path


def test_an_archive_that_is_there_is_kept(tmp_path, archive):
    code, output, errors = prepare(tmp_path / "out", f"--archive={archive}")
    assert code == 0, errors
    assert "1 videos, 3 frames, 3 of them labelled" in output
    assert load_index(tmp_path / "out" / "cholec80").phase.tolist() == [2, 2, 2]
    assert archive.exists()
    assert not (tmp_path / "out" / "cholec80" / ".unpacking").exists()


def test_an_interrupted_unpacking_goes_on(tmp_path, archive):
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    code, _, errors = prepare(tmp_path / "out", f"--archive={archive}")
    assert code == 2
    assert "cholec80.tar.gz" in errors.splitlines()[-1]
    archive.write_bytes(whole)
    (tmp_path / "out" / "cholec80" / "videos").mkdir(exist_ok=True)
    (tmp_path / "out" / "cholec80" / "videos" / "video00.mp4").touch()  # as if unpacked before
    code, output, _ = prepare(tmp_path / "out", f"--archive={archive}")
    assert code == 1  # the empty video00
    assert "1 videos, 3 frames, 3 of them labelled" in output


def test_a_wrong_checksum_unpacks_nothing(tmp_path, archive):
    code, _, errors = prepare(tmp_path / "out", f"--archive={archive}", "--verify_checksum")
    assert code == 2
    assert "MD5" in errors.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_an_archive_of_records_becomes_frames_and_annotations(tmp_path, small_dataset):
    """As TF-Cholec80 reads its own archive: the record files lie in the folder itself."""
    files = write_records(load_index(small_dataset), tmp_path / "packed")
    files[3].write_bytes(b"cut off")
    archive = tmp_path / "cholec80.tar"
    with tarfile.open(archive, "w") as tar:
        for file in files:
            tar.add(file, file.name)
    code, output, errors = prepare(tmp_path / "out", f"--archive={archive}")
    assert code == 1, errors
    assert "3 videos, 42 frames, 42 of them labelled" in output
    assert "video04.tfrecord: ends after 0 bytes" in output.splitlines()[-1]
    root = tmp_path / "out" / "cholec80"
    np.testing.assert_array_equal(load_index(root).phase, load_index(small_dataset).phase[:42])
    assert (root / "video01.tfrecord").is_file()
