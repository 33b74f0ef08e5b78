"""What cannot be used in a folder is named, and the rest is listed, in every place that lists."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.annotations.opening import copy_annotations
from data.common.errors import InputError
from data.dataset.audit import Audit
from data.frames.listing import list_images
from data.image_classes.class_folders import prepare_classes
from data.images.folders import list_files
from data.indexing.building import build_index
from data.preparation.media import find_media
from tests.support.places import ROOT

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
FOREIGN = b"caf\xe9"


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", IMAGE)[1])
    return path


@pytest.fixture
def folder(tmp_path):
    """Two folders of three images each, and in one of them what cannot be used."""
    place = tmp_path / "in"
    for name in ("a", "b"):
        for number in range(1, 4):
            write_image(place / name / f"{name}_{number:06d}.png")
    (place / os.fsdecode(FOREIGN + b"s")).mkdir()
    (place / "a" / os.fsdecode(FOREIGN + b".png")).write_bytes(b"x")
    os.mkfifo(place / "a" / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place / "a" / "s.png"))
    (place / "a" / "gone.png").symlink_to("nowhere")
    write_image(place / "a" / "two\nlines.png")
    return place


SAID = (
    r"in/caf\xe9s: its name is not UTF-8",
    r"in/a/caf\xe9.png: its name is not UTF-8; expected a name that is; rename it",
    "in/a/pipe.png: a named pipe; expected a file",
    "in/a/s.png: a socket; expected a file",
    "in/a/gone.png: a link to nothing",
    r"in/a/two\nlines.png: its name has a line break or another control character; rename it",
)


def check_said(lines, expected=SAID):
    for text in expected:
        assert sum(text in line for line in lines) == 1, (text, lines)
    assert len(lines) == len(expected)
    "\n".join(lines).encode()


def test_what_cannot_be_used_is_named_and_the_rest_is_listed(folder, tmp_path):
    faults = []
    assert len(list_files(folder, faults)) == 6
    check_said(faults)
    frames = list_images(folder)
    assert len(frames) == 6
    check_said(frames.faults)
    frames = list_images(folder / "*")
    assert len(frames) == 6
    check_said(frames.faults)
    (tmp_path / "list.txt").write_text("in/a/pipe.png\nin/a/a_000001.png\n")
    assert len(list_images(tmp_path / "list.txt")) == 1

    audit = Audit()
    assert len(find_media(folder, None, False, tmp_path / "out", audit).images) == 2
    check_said(audit.problems)
    audit = Audit()
    prepare_classes(tmp_path / "classes", folder, None, 0, audit)
    assert audit.total("frames") == 6
    check_said(audit.problems)
    folder.rename(tmp_path / "frames")
    audit = build_index(tmp_path)
    assert audit.total("frames") == 6
    check_said(audit.problems, [text.replace("in/", "frames/") for text in SAID])


def test_annotations_are_copied_without_what_cannot_be_read(tmp_path):
    given, faults = tmp_path / "in", []
    given.mkdir()
    (given / "op1.csv").write_text("x")
    (given / os.fsdecode(FOREIGN)).write_text("x")
    copy_annotations(given, tmp_path, faults)
    assert [file.name for file in (tmp_path / "annotations").iterdir()] == ["op1.csv"]
    check_said(faults, [r"in/caf\xe9: its name is not UTF-8"])


def test_links_to_folders_are_followed_once(tmp_path):
    write_image(tmp_path / "else/where/1.png")
    write_image(tmp_path / "in/real/2.png")
    (tmp_path / "in/linked").symlink_to(tmp_path / "else")
    (tmp_path / "in/again").symlink_to("real")
    (tmp_path / "in/real/self").symlink_to(".")
    (tmp_path / "in/real/up").symlink_to("../..")
    (tmp_path / "else/where/back").symlink_to(tmp_path / "in")
    faults = []
    listed = [file.relative_to(tmp_path / "in") for file in list_files(tmp_path / "in", faults)]
    assert [str(file) for file in listed] == ["linked/where/1.png", "real/2.png"]
    assert faults == []


WITHOUT_RIGHTS = """
import os, sys
from pathlib import Path
from data.images.folders import list_files
if not os.geteuid():
    os.setgid(65534)
    os.setuid(65534)
faults = []
files = list_files(Path(sys.argv[1]), faults)
print(len(files), *sorted(faults), sep="\\n")
"""


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_what_is_forbidden_is_named(folder, tmp_path):
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(0o755)
    for name in ("locked", "no names", "no files"):
        write_image(folder / name / "1.png")
    (folder / "locked").chmod(0)
    (folder / "no names").chmod(0o311)
    (folder / "no files").chmod(0o444)
    (folder / "b/b_000001.png").chmod(0)
    command = [sys.executable, "-c", WITHOUT_RIGHTS, folder]
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    for name in ("locked", "no names", "no files"):  # pytest removes them
        (folder / name).chmod(0o755)
    assert not found.stderr
    number, *faults = found.stdout.splitlines()
    denied = ("locked", "no names", "no files", "b/b_000001.png")
    check_said(faults, [*SAID, *(f"in/{name}: permission denied" for name in denied)])
    assert int(number) == 5


def test_a_folder_of_which_nothing_can_be_used_says_why(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match=r"no images among 0 files.*pipe\.png: a named pipe"):
        list_images(tmp_path)
    assert Path(tmp_path / "pipe.png").exists()
