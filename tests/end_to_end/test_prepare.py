import json
import re
import subprocess
import sys
import tarfile
from zipfile import ZipFile

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.frame_index import load_index
from data.frames.opening import open_source
from tests.support.places import ROOT
from tests.support.prepared import prepare, write_image
from tests.support.small_videos import read_numbers, write_video


@pytest.fixture
def recordings(tmp_path):
    """A folder as a hospital has it: two good videos, one broken, images, a note."""
    folder = tmp_path / "recordings"
    write_video(folder / "op1.mp4", 25, 80)
    write_video(folder / "case 2" / "left.mkv", 50, 120)
    (folder / "broken.mp4").write_text("not a video")
    for name in ("stills/a-frame-3.jpg", "stills/a-frame-12.jpg", "x_7.png"):
        write_image(folder / name)
    (folder / "stills" / "a-frame-99.jpg").write_bytes(b"\xff\xd8\xff cut off")
    (folder / "readme.txt").write_text("a note")
    return folder


def test_a_folder_of_videos_and_images(tmp_path, recordings):
    arguments = (tmp_path / "out", f"--videos={recordings}", "--name=ours")
    code, output, errors = prepare(*arguments)
    root = tmp_path / "out" / "ours"

    assert code == 1, errors
    assert "ours: 4 videos, 10 frames, 0 of them labelled" in output
    assert "python -m msn.train" in output
    said = [line for line in output.splitlines() if line.startswith("not used: ")]
    assert str(recordings / "broken.mp4") in said[0]
    assert str(recordings / "stills" / "a-frame-99.jpg") in said[1]
    assert f"{recordings / 'readme.txt'}: neither" in (root / "audit.json").read_text()
    assert "moov" not in errors  # what FFmpeg says about broken files

    index = load_index(root)
    assert index.videos == ("left", "op1", "stills", "x")
    assert index.frame.tolist() == [1, 2, 3, 1, 2, 3, 4, 3, 12, 7]
    assert list(read_numbers(root / "frames" / "op1").values()) == [0, 25, 50, 75]
    assert list(read_numbers(root / "frames" / "left").values()) == [0, 50, 100]
    assert (recordings / "stills/a-frame-3.jpg").samefile(root / "frames/stills/a-frame-3.jpg")
    assert not (root / "videos").exists()

    before = {file: file.stat().st_mtime_ns for file in (root / "frames").glob("*/*")}
    assert prepare(*arguments)[:2] == (code, output)
    assert {file: file.stat().st_mtime_ns for file in (root / "frames").glob("*/*")} == before


def test_videos_of_one_patient_are_kept_together(tmp_path):
    first = ("Pat_003/video.mp4", "Pat_003/video_part2.mp4")
    for place in (*first, "Pat_004/video.mp4", "Pat_005/video.mp4"):
        write_video(tmp_path / "in" / place, 25, 50)
    code, stdout, _ = prepare(tmp_path, "--name=ours", "--videos", tmp_path / "in")
    assert code == 0
    assert "Pat_003_video, video_part2: one patient by the folders of files" in stdout
    splits = json.loads((tmp_path / "ours" / "splits.json").read_text())
    parts = [part["videos"] for part in splits["protocols"][splits["default"]].values()]
    assert ["Pat_003_video", "video_part2"] in parts and ["Pat_004_video"] in parts
    assert ["Pat_005_video"] in parts


def test_patients_from_a_file_are_kept_in_the_dataset(tmp_path):
    for name in "abcdef":
        write_video(tmp_path / "in" / f"{name}.mp4", 25, 50)
    table = tmp_path / "given.csv"
    table.write_text("video,patient\na,1\nb.mp4,1\nc,2\nd,2\ne,1950\nf,1950\n")
    arguments = (tmp_path, "--name=ours", "--videos", tmp_path / "in")
    code, stdout, _ = prepare(*arguments, f"--patients={table}")
    assert code == 0 and "a, b; c, d; e, f: each one patient by patients.csv" in stdout
    manifest = (tmp_path / "ours" / "splits.json").read_text()
    splits = json.loads(manifest)
    parts = splits["protocols"][splits["default"]].values()
    assert sorted(part["videos"] for part in parts) == [["a", "b"], ["c", "d"], ["e", "f"]]
    assert prepare(*arguments)[0] == 0
    assert (tmp_path / "ours" / "splits.json").read_text() == manifest
    torn = {"train": ["a", "c"], "validation": ["e"], "test": ["b", "d", "f"]}
    (tmp_path / "ours" / "protocols.json").write_text(json.dumps({"mine": torn}))
    code, stdout, _ = prepare(*arguments)
    assert code == 1
    assert "split mine: b (a), d (c): in test, of patients who are in train by patients.csv" in (
        stdout
    )
    table.write_text("video,who\n")
    code, _, errors = prepare(tmp_path, "--name=x", "--videos=in", f"--patients={table}")
    assert code == 2 and "expected video, patient" in errors and not (tmp_path / "x").exists()


def test_a_dry_run_says_it_all_and_writes_nothing(tmp_path, recordings):
    arguments = (tmp_path / "out", "--name=ours", f"--videos={recordings}")
    code, output, errors = prepare(*arguments, "--dry_run")
    assert not (tmp_path / "out").exists()
    dry = [line for line in output.splitlines() if line.startswith("not used: ")]
    real_code, real, _ = prepare(*arguments)
    assert code == real_code == 1, errors
    assert dry[0] in real  # the broken video; of images, only decoding tells
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*")}
    code, output, _ = prepare(*arguments, "--dry_run")
    assert "2 videos, of which 2 are done" in output
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*")} == before


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["--synthetic"], ["a miniature, to be rendered", "room: not known beforehand"]),
        (["--archive=archive.tar"], ["archive.tar: to be unpacked, 20.5kB", "room: at least"]),
        (["--dataset=heichole", "--archive=archive.zip"], ["to be unpacked, 4.00kB"]),
        (["--dataset=classes", "--images=in"], ["a: 2 images", "4 images in 2 classes"]),
    ],
)
def test_a_dry_run_of_other_kinds(tmp_path, arguments, lines):
    for place in range(4):
        write_image(tmp_path / "in" / "ab"[place % 2] / f"{place}.png")
    with ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("video.mp4", bytes(4000))
    with tarfile.open(tmp_path / "archive.tar", "w") as archive:
        archive.add(tmp_path / "in", "in")
    before = set(tmp_path.rglob("*"))
    code, output, errors = prepare(tmp_path / "out", *arguments, "--dry_run")
    assert code == 0, errors
    for line in lines:
        assert line in output
    assert set(tmp_path.rglob("*")) == before


def test_a_sheet_is_drawn_at_the_end_or_of_what_is_there(tmp_path):
    write_video(tmp_path / "in" / "op1.mp4", 25, 80)
    arguments = (f"--videos={tmp_path / 'in'}", "--name=ours")
    code, output, errors = prepare(tmp_path / "out", *arguments, "--sheet=first.jpg")
    assert code == 0, errors
    assert output.splitlines()[-1] == "first.jpg: 1 videos, 4 frames"
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*")}
    code, output, errors = prepare(tmp_path / "out", "--name=ours", "--sheet=second.png")
    assert (code, output) == (0, "second.png: 1 videos, 4 frames\n"), errors
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*")} == before
    public = ("--dataset=heichole", "--name=ours", "--sheet=third.png")
    assert prepare(tmp_path / "out", *public)[:2] == (0, "third.png: 1 videos, 4 frames\n")
    code, _, errors = prepare(tmp_path / "out", *arguments, "--sheet=fourth.png", "--dry_run")
    assert code == 2 and "--sheet and --dry_run: expected one of them at a time" in errors
    assert not (tmp_path / "fourth.png").exists()
    sizes = [cv2.imread(str(tmp_path / name)).shape for name in ("first.jpg", "second.png")]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("kind", [".bmp", ".jpg", ".png", ".tiff", ".webp"])
def test_nothing_is_said_of_a_damaged_image_but_with_its_name(tmp_path, kind):
    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    content = cv2.imencode(kind, image)[1].tobytes()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / f"half{kind}").write_bytes(content[: len(content) // 2])
    (tmp_path / "images" / f"whole{kind}").write_bytes(content)
    command = [sys.executable, ROOT / "prepare.py", f"--data_rootdir={tmp_path}", "--name=a"]
    command.append(f"--videos={tmp_path}/images")  # started anew, as OpenCV is told when it begins
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert f"not used: {tmp_path}/images/half{kind}: " in done.stdout
    progress = r"20\d\d-\S+ \S+ (images|index): .*"
    assert [line for line in done.stderr.splitlines() if not re.fullmatch(progress, line)] == []


def test_cleaning_and_splits(tmp_path):
    """Borders, black and out-of-body frames, and a recording that a data set beside it has too."""
    scene = np.zeros((120, 160, 3), np.uint8)
    scene[:, 40:120] = (40, 50, 180)
    for root in ("ours", "other"):
        folder = tmp_path / "out" / root / "frames" / {"ours": "video68", "other": "VID68"}[root]
        menu = np.full_like(scene, (200, 140, 80))
        for number, image in enumerate([scene, scene, scene * 0, menu, scene // 2], 1):
            write_image(file := folder / f"{folder.name}_{number:06d}.png")
            cv2.imwrite(str(file), image)
    assert prepare(tmp_path / "out", "--name=other")[0] == 0
    drop = ("--drop_black", "--drop_out_of_body", "--drop_near_duplicates", "--crop_borders")
    code, output, errors = prepare(tmp_path / "out", "--name=ours", *drop)
    root = tmp_path / "out" / "ours"
    assert code == 0, errors
    assert "ours: 2 frames are left for pre-training" in output
    head, row = (line.split() for line in output.splitlines()[:2])
    assert dict(zip(head[5:], row[5:], strict=True)) == {
        **{"black": "1", "out_of_body": "1", "near_duplicates": "1", "cropped": "5"},
        "pretraining": "2",
    }
    assert f"{tmp_path / 'out' / 'other'}: shares recordings with ours" in output
    assert "video68 (VID68)" in output
    assert load_index(root).paths([0]) == [str(root / "cropped/video68/video68_000001.png")]
    splits = json.loads((root / "splits.json").read_text())
    assert splits["protocols"]["40/40"]["test"]["frames"] == 5
    assert (tmp_path / "out" / "other" / "splits.json").is_file()
    assert not (tmp_path / "out" / "other" / "pretraining.parquet").exists()

    code, output, _ = prepare(tmp_path / "out", "--name=ours")
    assert code == 0
    assert "pre-training" not in output
    assert not (root / "pretraining.parquet").exists()
    assert (root / "cropped").is_dir(), "nothing of the frames is deleted"


def test_a_rendered_dataset(tmp_path):
    arguments = ("--synthetic", "--synthetic_videos=1", "--synthetic_seconds=14", "--seed=3")
    code, output, errors = prepare(tmp_path / "out", *arguments)
    assert code == 0, errors
    index = load_index(tmp_path / "out" / "cholec80")
    assert f"1 videos, {len(index)} frames, {len(index)} of them labelled" in output
    assert set(index.phase) == set(range(7))
    assert (index.tools >= 0).all()
    assert prepare(tmp_path / "out")[0] == 0  # it is there: no download


def test_settings_reach_the_frames(tmp_path):
    write_video(tmp_path / "in" / "op.mp4", 25, 50)
    code, _, errors = prepare(
        *(tmp_path / "out", f"--videos={tmp_path / 'in'}", "--fps=2", "--format=png", "--size=24")
    )
    assert code == 0, errors
    frames = sorted((tmp_path / "out" / "cholec80" / "frames" / "op").iterdir())
    assert [file.name for file in frames] == [f"op_{number:06d}.png" for number in range(1, 5)]
    assert cv2.imread(str(frames[0])).shape == (24, 48, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--videos=absent"], "absent: no such folder"),
        (["--videos=empty"], "no videos or images in it"),
        (["--videos=in", "--format=gif"], "jpg, png"),
        (["--videos=in", "--fps=0"], "fps=0"),
        (["--videos=in", "--quality=200"], "expected 1 to 100"),
        (["--videos=in", "--workers=0"], "workers=0"),
        (["--videos=in", "--name=../x"], "--name=../x"),
        (["--videos=in", "--name=.."], "--name=.."),
        (["--videos=in", "--sheet=sheet.gif"], "--sheet=sheet.gif: expected a name that ends in"),
        (["--videos=in", "--synthetic"], "one of them"),
        (["--videos=bad"], "op.mp4"),
        (["--name=ours"], "give --videos"),
        (["--archive=absent.tar"], "--archive=absent.tar: no such file"),
        (["--synthetic", "--synthetic_videos=0"], "num_videos"),
        (["--synthetic", "--fps=0"], "fps=0"),
        (["--fsp=2"], "fsp"),
        (["videos"], "unexpected argument 'videos'"),
    ],
)
def test_wrong_input_writes_nothing(tmp_path, arguments, message):
    write_video(tmp_path / "in" / "op.mp4", 25, 1)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "op.mp4").write_text("not a video")
    (tmp_path / "empty").mkdir()
    code, output, errors = prepare(tmp_path / "out", *arguments)
    last = errors.strip().splitlines()[-1]
    assert code == 2
    assert last.startswith("error:")
    assert message in last
    assert output == ""
    assert not (tmp_path / "out").exists()


def test_frames_are_packed_by_a_flag(tmp_path, recordings):
    (recordings / "broken.mp4").unlink()
    arguments = (tmp_path / "out", f"--videos={recordings}", "--name=ours")
    root = tmp_path / "out" / "ours"
    prepare(*arguments, "--pack")
    assert "packed: 1 shards, 0 of them written now" in prepare(*arguments, "--pack")[1]
    packed, files = (open_source(kind, root) for kind in ("packed", "images"))
    assert packed.encoded(4).tobytes() == (root / files.name(4)).read_bytes()

    write_video(recordings / "op1.mp4", 25, 120)
    output = prepare(*arguments)[1]
    assert "packed: not the frames that there are now of op1; --pack packs these" in output
    with pytest.raises(InputError, match="now of op1; expected"):
        open_source("packed", root)
    assert "1 of them written now" in prepare(*arguments, "--pack")[1]
    assert len(open_source("packed", root)) == len(open_source("images", root))

    for flags in (["--pack", "--pack_size=5000"], ["--pack_size=5"]):
        code, _, errors = prepare(*arguments, *flags)
        assert code == 2 and errors.startswith("error: --pack_size")
