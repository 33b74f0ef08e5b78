import os

import cv2
import numpy as np
from PIL import Image, TiffImagePlugin

from data.images.completeness import fault_finder, find_fault, say_several
from data.images.image_io import read_image

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


def test_of_several_pictures_in_a_file_the_first_is_used_and_that_is_said(tmp_path):
    pictures = [Image.new("RGB", (40, 30), (40 * n, 0, 0)) for n in range(3)]
    files = [tmp_path / name for name in ("a.tif", "b.tiff", "c.tif", "d.tif", "e.webp", "f.webp")]
    for file in files[:4]:
        pictures[1].save(file, save_all=True, append_images=pictures[2:])
    pictures[1].save(files[4], save_all=True, append_images=pictures[2:], lossless=True)
    pictures[1].save(files[5])
    with TiffImagePlugin.AppendingTiffWriter(str(tmp_path / "g.tif"), True) as target:
        pictures[1].save(target, format="TIFF")
        target.newFrame()
        smaller = TiffImagePlugin.ImageFileDirectory_v2()
        smaller[254] = 1  # a version of reduced size
        pictures[0].resize((8, 6)).save(target, format="TIFF", tiffinfo=smaller)
    files.append(tmp_path / "g.tif")
    assert say_several(files) == [
        f"{tmp_path}/a.tif, {tmp_path}/b.tiff, {tmp_path}/c.tif and 1 more: 4 TIFF files with "
        "several pictures; the first of each is used",
        f"{tmp_path}/e.webp: 1 WebP files with several pictures; the first of each is used",
    ]
    assert read_image(files[0])[0, 0].tolist() == [40, 0, 0]


def test_lab_colours_are_refused(tmp_path):
    Image.new("LAB", (40, 30), (120, 140, 100)).save(tmp_path / "a.tif")
    assert find_fault(tmp_path / "a.tif") == "a TIFF file of L*a*b* colours; expected RGB"
