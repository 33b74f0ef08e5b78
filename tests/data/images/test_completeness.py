import os

import cv2
import numpy as np

from data.images.completeness import fault_finder

PICTURE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


def faults(note, files):
    with fault_finder(note) as find_faults:
        return list(find_faults(files))


def damage(file):
    """In the middle, with the same size and the same time of change."""
    data, state = bytearray(file.read_bytes()), file.stat()
    data[len(data) // 2 : len(data) // 2 + 500] = b"\x5a" * 500
    with file.open("r+b") as opened:
        opened.write(data)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_each_file_is_decoded_once_while_its_size_and_time_are_the_same(tmp_path):
    note, files = tmp_path / "note.npy", [tmp_path / f"{n}.jpg" for n in range(3)]
    for file in files:
        cv2.imwrite(str(file), PICTURE)
    damage(files[0])
    first = faults(note, files)
    assert "damaged JPEG" in first[0]
    assert first[1:] == [None, None]

    for file in files:
        damage(file)
    (tmp_path / "linked.jpg").hardlink_to(files[1])
    again = faults(note, [*files, tmp_path / "linked.jpg"])
    assert again[0], "what cannot be used is looked at again"
    assert again[1:] == [None] * 3, "not read, by whatever name"
    os.utime(files[2])
    assert "damaged" in faults(note, files)[2]
    note.write_bytes(b"damaged")
    assert all(faults(note, files))
    assert faults(tmp_path / "no folder/note.npy", [tmp_path / "none.jpg"]) == [
        "no such file or directory"
    ]
