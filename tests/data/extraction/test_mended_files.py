import os

import numpy as np

from data.dataset.extraction_log import known_names, read_log
from data.extraction.extracting import extract_frames
from data.video import names
from data.video.names import content_digest
from data.video.parts import VideoFiles
from tests.support.encoded_videos import encode, moving_square

HOUR = 3600


def draw(number):
    noise = np.random.default_rng(number).integers(0, 60, (96, 128, 3), np.uint8)
    return moving_square(number) // 2 + noise


def test_a_damaged_file_that_is_whole_now_is_extracted_again(tmp_path, monkeypatch):
    """Copies arrive in pieces, of the same size from the first: samples may lie beside them."""
    monkeypatch.setattr(names, "SAMPLE_BYTES", 64)
    file, frames = tmp_path / "in" / "op.mp4", tmp_path / "frames"
    copied = tmp_path / "elsewhere" / "op.mp4"
    for folder in (file.parent, copied.parent):
        folder.mkdir()
    encode(file, "mpeg4", 150, draw=draw, g="25")
    whole = file.read_bytes()
    begin, end = (len(whole) * n // (names.SAMPLES - 1) for n in (7, 8))
    damaged = bytearray(whole)
    damaged[begin + 64 : end - 64] = bytes(end - begin - 128)

    def extracted(path):
        problems = extract_frames({"op": VideoFiles((path,))}, frames, fps=25)
        return problems, read_log(frames)["videos"]["op"].get("missing", [])

    def write(path, content, hours):
        path.write_bytes(content)
        os.utime(path, (hours * HOUR, hours * HOUR))

    write(file, damaged, 1)
    digest = content_digest(file)
    problems, missing = extracted(file)
    assert "cannot be read, all else is used" in problems["op"]
    assert missing
    write(copied, damaged, 2)  # elsewhere it is a copy, and no other video of this name
    assert extracted(copied) == extracted(file) == (problems, missing)
    write(file, whole, 3)
    assert content_digest(file) == digest
    assert extracted(file) == ({}, [])


def test_a_damaged_file_that_was_mended_and_moved_keeps_its_name(tmp_path, monkeypatch):
    """Under another name the operation would be there twice, in training and in test."""
    monkeypatch.setattr(names, "SAMPLE_BYTES", 4096)
    folder, frames = tmp_path / "in", tmp_path / "frames"
    folder.mkdir()
    for number, name in enumerate(("op", "other")):
        shift = 1000 * number
        encode(folder / f"{name}.mp4", "mpeg4", 150, draw=lambda n, s=shift: draw(n + s), g="25")
    file, moved = folder / "op.mp4", folder / "deep" / "renamed.mp4"
    whole = file.read_bytes()
    file.write_bytes(whole[:6000] + bytes(3000) + whole[9000:])

    def extracted():
        found = names.name_videos(folder, folder.rglob("*.mp4"), [], known_names(frames))
        return found, extract_frames(found, frames, fps=25)

    found, problems = extracted()
    assert found == {"op": file, "other": folder / "other.mp4"}
    assert problems.keys() == {"op"}
    file.unlink()
    moved.parent.mkdir()
    moved.write_bytes(whole)
    found, problems = extracted()
    assert found == {"op": moved, "other": folder / "other.mp4"}
    assert problems == {}
    assert "missing" not in read_log(frames)["videos"]["op"]
    (folder / "other.mp4").rename(folder / "third.mp4")
    encode(folder / "third.mp4", "mpeg4", 100, draw=draw, g="25")
    assert extracted()[0].keys() == {"op", "third"}  # what was whole is known by all of it alone


def test_room_for_an_index_is_no_beginning_by_which_a_file_is_known(tmp_path):
    """Of all that a recorder writes it is the same."""
    random, size = np.random.default_rng(0), names.SAMPLE_BYTES
    front, file = b"\0\0\0\x18ftypisom" + random.bytes(2000), tmp_path / "op.mp4"
    digests = []
    for room in (0, size):
        for _ in range(2):
            file.write_bytes(front + bytes(room) + random.bytes(2 * size))
            digests.append(names.head_digest(file))
    assert len(set(digests)) == 3 and digests[2:] == ["", ""]
