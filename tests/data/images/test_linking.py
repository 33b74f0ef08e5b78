"""Images that are too large become copies; test_finding.py tests that the others are linked."""

import hashlib
import os
import time

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.images import linking
from data.images.image_io import image_size, read_image
from data.images.linking import drop_replaced, link_file, link_images


def write(path, height, width):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2] = (40, 50, 200)
    cv2.imwrite(str(path), image)
    return path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def images(tmp_path):
    """A large image of each format, and one that is small already."""
    names = [
        f"{place}.{suffix}" for place, suffix in enumerate(("jpg", "JPEG", "png", "bmp", "tif"))
    ]
    large = [write(tmp_path / "in" / name, 96, 160) for name in names]
    return [*large, write(tmp_path / "in" / "small.png", 48, 200)]


def test_large_images_are_reduced_in_copies(tmp_path, images):
    before = [digest(file) for file in images]
    assert link_images({"x": images}, tmp_path / "frames", size=48) == {}
    assert [digest(file) for file in images] == before
    for file in images[:-1]:
        copy = tmp_path / "frames" / "x" / file.name
        assert image_size(copy) == (48, 80), "the shorter side, and the other in proportion"
        image = read_image(copy)
        assert np.abs(image[:, :35].mean(axis=(0, 1)) - (200, 50, 40)).max() < 4
        assert image[:, 45:].mean() < 4
    assert (tmp_path / "frames" / "x" / "small.png").samefile(images[-1])


def test_what_was_linked_before_is_reduced_and_the_original_stays(tmp_path, images):
    link_images({"x": images}, tmp_path / "frames")
    before = [digest(file) for file in images]
    assert link_images({"x": images}, tmp_path / "frames", size=48) == {}
    assert [digest(file) for file in images] == before
    assert {image_size(file)[0] for file in (tmp_path / "frames" / "x").iterdir()} == {48}


def test_reducing_goes_on_where_it_was_stopped(tmp_path, images, monkeypatch):
    folder, write_frame = tmp_path / "frames" / "x", linking.write_frame

    def fail_at_third(path, *arguments):
        if path.name == "2.png":
            raise OSError(28, "no space left on device")
        write_frame(path, *arguments)

    monkeypatch.setattr(linking, "write_frame", fail_at_third)
    with pytest.raises(OSError, match="no space"):
        link_images({"x": images}, tmp_path / "frames", size=48)
    there = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    monkeypatch.setattr(linking, "write_frame", write_frame)
    assert link_images({"x": images}, tmp_path / "frames", size=48) == {}
    assert len(list(folder.iterdir())) == len(images)
    assert {file: file.stat().st_mtime_ns for file in there} == there
    monkeypatch.setattr(linking, "write_frame", lambda *_: pytest.fail("written again"))
    assert link_images({"x": images}, tmp_path / "frames", size=48) == {}


def test_a_damaged_image_is_named(tmp_path, images):
    content = images[0].read_bytes()
    images[0].write_bytes(content[:2] + b"\xff" + bytes(200) + content[-2:])
    faults = link_images({"x": images}, tmp_path / "frames", size=48)
    assert list(faults) == [str(images[0])]
    assert len(list((tmp_path / "frames" / "x").iterdir())) == len(images) - 1


def test_an_array_becomes_a_png(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    np.save(tmp_path / "op_000001.npy", picture)
    assert link_images({"op": [tmp_path / "op_000001.npy"]}, tmp_path / "frames") == {}
    np.testing.assert_array_equal(read_image(tmp_path / "frames/op/op_000001.png"), picture)
    (file,) = (tmp_path / "frames/op").iterdir()
    before = file.stat().st_mtime_ns
    assert link_images({"op": [tmp_path / "op_000001.npy"]}, tmp_path / "frames") == {}
    assert file.stat().st_mtime_ns == before


def test_a_newer_image_that_is_no_whole_one_removes_nothing(tmp_path, images):
    frames = tmp_path / "data" / "frames"
    assert drop_replaced({"op": images}, frames) == ({}, [], {})
    link_images({"op": images}, frames)
    place = frames / "op" / images[0].name
    before, content = digest(place), images[0].read_bytes()
    for file, end in ((images[0], len(content) // 2), (images[1], None)):
        new = images[1].read_bytes() if end is None else content[:end]
        file.unlink()
        file.write_bytes(new)
        later = place.stat().st_mtime + 100
        os.utime(file, (later, later))
    removed, newer, damaged = drop_replaced({"op": images}, frames)
    assert (removed, newer, list(damaged)) == ({"op": 1}, [], [images[0]])
    assert digest(place) == before
    assert not (frames / "op" / images[1].name).exists()


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "3"])
def test_a_damaged_note_of_what_was_linked_is_named(tmp_path, images, content):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "linked.json").write_text(content)
    with pytest.raises(InputError, match=r"linked\.json: damaged; delete it"):
        drop_replaced({"op": images}, tmp_path / "data" / "frames")


@pytest.mark.parametrize("is_copied", [False, True])
def test_images_that_were_replaced_by_ones_of_their_size_and_time_are_taken(
    tmp_path, images, monkeypatch, is_copied
):
    """Linked, or copied from another disk; as `rsync --times` writes them."""
    if is_copied:
        monkeypatch.setattr(linking.Path, "hardlink_to", lambda *_: os.link("", ""))
    frames, image = tmp_path / "data" / "frames", images[3]
    assert image.suffix == ".bmp"
    drop_replaced({"op": images}, frames)
    link_images({"op": images}, frames)
    assert (frames / "op" / image.name).samefile(image) != is_copied
    assert drop_replaced({"op": images}, frames) == ({}, [], {})
    state, content = image.stat(), bytearray(image.read_bytes())
    content[-1] ^= 1
    other = image.with_name("new")
    other.write_bytes(content)
    os.utime(other, ns=(state.st_mtime_ns, state.st_mtime_ns))
    other.replace(image)
    assert drop_replaced({"op": images}, frames) == ({"op": 1}, [], {})
    link_images({"op": images}, frames)
    assert (frames / "op" / image.name).read_bytes() == content


def test_copies_of_images_whose_rights_have_changed_are_compared_once(
    tmp_path, images, monkeypatch
):
    monkeypatch.setattr(linking.Path, "hardlink_to", lambda *_: os.link("", ""))
    frames, compared = tmp_path / "data" / "frames", []
    link_images({"op": images}, frames)
    read = linking.Path.read_bytes
    monkeypatch.setattr(linking.Path, "read_bytes", lambda p: (compared.append(p), read(p))[1])
    monkeypatch.setattr(linking, "ROUGH", 0)
    for image in images:
        image.chmod(0o600)
    time.sleep(0.05)  # the clock of files has ticks of some milliseconds
    for _ in range(2):
        drop_replaced({"op": images}, frames)
        assert [file for file in compared if file in images] == images


def test_a_copy_on_a_disk_with_rough_times_is_known_and_another_file_is_not(tmp_path):
    file, target = tmp_path / "a.bmp", tmp_path / "dataset" / "a.bmp"
    file.write_bytes(b"one")
    os.utime(file, (1001.5, 1001.5))
    target.parent.mkdir()
    target.write_bytes(b"one")
    os.utime(target, (1000, 1000))  # FAT keeps every second second
    link_file(file, target)
    assert not target.samefile(file)
    target.write_bytes(b"two")
    os.utime(target, (1001.4, 1001.4))  # of the same size, in the same second
    with pytest.raises(InputError, match="another image than"):
        link_file(file, target)
    assert target.read_bytes() == b"two"
