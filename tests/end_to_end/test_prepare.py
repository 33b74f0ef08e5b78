import json
import re
import tarfile
from zipfile import ZipFile

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.frame_index import load_index
from data.frames.opening import open_source
from tests.support.forked_commands import call
from tests.support.record_files import write_records
from tests.support.small_videos import read_numbers, write_video


def prepare(data_rootdir, *arguments):
    """(exit code, stdout, stderr) of the command."""
    words = (f"--data_rootdir={data_rootdir}", *arguments)
    done = call("prepare.py", *words, cwd=data_rootdir.parent)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((24, 32, 3), 90, np.uint8))
    return path


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


def test_patients_of_images_in_classes(tmp_path):
    rows = ["image,patient"]
    for kind in ("benign", "cancer"):
        for number in range(12):
            write_image(tmp_path / "in" / kind / f"{number}.png")
            rows.append(f"{kind}/{number}.png,P{number // 3}")
    (tmp_path / "given.csv").write_text("\n".join(rows))
    folder = (f"--images={tmp_path / 'in'}", f"--patients={tmp_path / 'given.csv'}")
    code, stdout, _ = prepare(tmp_path, "--dataset=classes", "--name=ours", *folder)
    assert code == 0, stdout
    splits = json.loads((tmp_path / "ours" / "splits.json").read_text())
    parts = splits["protocols"][splits["default"]].values()
    of = [{int(name.split("_")[1][:-4]) // 3 for name in part["videos"]} for part in parts]
    assert sum(map(len, of)) == 4 and all(of)
    rows = [
        "image,split",
        *(f"{row.split(',')[0]},{'test' if n % 2 else 'train'}" for n, row in enumerate(rows[1:])),
    ]
    (tmp_path / "split.csv").write_text("\n".join(rows))
    given = f"--split={tmp_path / 'split.csv'}"
    code, stdout, _ = prepare(tmp_path, "--dataset=classes", "--name=torn", *folder, given)
    assert code == 1 and "in test, of patients who are in train by patients.csv" in stdout


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
        (["--archive=archive.zip"], ["archive.zip: to be unpacked, 4.00kB", "room: at least"]),
        (["--dataset=heichole", "--archive=archive.zip"], ["to be unpacked, 4.00kB"]),
        (["--dataset=classes", "--images=in"], ["a: 2 images", "4 images in 2 classes"]),
    ],
)
def test_a_dry_run_of_other_kinds(tmp_path, arguments, lines):
    for place in range(4):
        write_image(tmp_path / "in" / "ab"[place % 2] / f"{place}.png")
    with ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("video.mp4", bytes(4000))
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


def test_a_sheet_of_classes_that_are_there_needs_no_images(tmp_path):
    for place in range(4):
        write_image(tmp_path / "in" / "ab"[place % 2] / f"{place}.png")
    arguments = (tmp_path / "out", "--dataset=classes")
    code, _, errors = prepare(*arguments, "--sheet=first.png")
    assert code == 2 and "--dataset=classes: needs --images" in errors
    code, _, errors = prepare(*arguments, f"--images={tmp_path / 'in'}")
    assert code == 0, errors
    code, output, errors = prepare(*arguments, "--sheet=first.png")
    assert (code, output) == (0, "first.png: 2 classes, 4 images\n"), errors
    assert (tmp_path / "first.png").is_file()


@pytest.mark.parametrize("kind", [".bmp", ".jpg", ".png", ".tiff", ".webp"])
def test_nothing_is_said_of_a_damaged_image_but_with_its_name(tmp_path, kind):
    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    content = cv2.imencode(kind, image)[1].tobytes()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / f"half{kind}").write_bytes(content[: len(content) // 2])
    (tmp_path / "images" / f"whole{kind}").write_bytes(content)
    code, said, errors = prepare(tmp_path, "--name=a", f"--videos={tmp_path}/images")
    assert code == 1
    assert f"not used: {tmp_path}/images/half{kind}: " in said
    progress = r"20\d\d-\S+ \S+ (images|index): .*"
    assert [line for line in errors.splitlines() if not re.fullmatch(progress, line)] == []


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


def test_polyps_rendered_and_cropped(tmp_path):
    """The miniature, then the crops of it as a data set of their own."""
    arguments = ("--dataset=polypsset", "--synthetic", "--synthetic_videos=6")
    code, output, errors = prepare(tmp_path / "out", *arguments)
    assert code == 0, errors
    root = tmp_path / "out" / "polypsset"
    index = load_index(root)
    known = np.count_nonzero(index.label >= 0)
    assert f"{len(index.videos)} sequences, {len(index)} frames, {known} of them" in output
    assert "--config=configs/msn_polyps_demo.py" in output
    assert "hyperplastic" in output.splitlines()[-3]
    assert prepare(tmp_path / "out", "--dataset=polypsset")[0] == 0  # it is there

    crops = ("--dataset=polypsset", "--name=crops", f"--archive={root}", "--crop_margin=0.1")
    assert prepare(tmp_path / "out", *crops)[0] == 0
    cropped = load_index(tmp_path / "out" / "crops")
    assert len(cropped) < len(index)
    assert all("/crops/cropped/" in path for path in cropped.paths(slice(None)))


def test_a_folder_of_classes(tmp_path):
    for number in range(6):
        write_image(tmp_path / "in" / "ab"[number % 2] / f"{number}.png")
    rows = "".join(f"{'ab'[n % 2]}/{n}.png,p{n % 3}\n" for n in range(6))
    (tmp_path / "patients.csv").write_text("image,sequence\n" + rows)
    flags = ("--dataset=classes", f"--images={tmp_path / 'in'}")
    code, output, errors = prepare(
        *(tmp_path / "out", *flags, f"--sequences={tmp_path / 'patients.csv'}", "--name=ours")
    )
    assert code == 0, errors
    assert "ours: 3 sequences, 6 frames, 6 of them labelled" in output
    (tmp_path / "in" / "a" / "0.png").write_bytes(b"")
    code, output, _ = prepare(tmp_path / "out", *flags)
    assert code == 1
    assert "not used:" in output
    assert load_index(tmp_path / "out" / "classes").videos[0] == "a_2.png"


def test_phases_need_time_and_classes_do_not(tmp_path):
    """Phases of images whose names tell no time; then phases for images that are in classes."""
    for place in range(12):
        write_image(tmp_path / "in" / "ab"[place % 2] / f"shot {place}.png")
    phases = tmp_path / "phases.csv"
    phases.write_text("video,start,end,phase\na,0,3,Zugang\nb,0,3,Naht\n")
    arguments = (f"--videos={tmp_path / 'in'}", f"--annotations={phases}")
    code, output, _ = prepare(tmp_path / "out", "--name=videos", *arguments)
    assert code == 1
    said = [line for line in output.splitlines() if line.startswith("not used: ")]
    assert len(set(said)) == 1
    assert "annotations of a, b: phases need the time of each image" in said[0]
    assert said[0].endswith("classes need none: --dataset=classes")

    images = ("--dataset=classes", f"--images={tmp_path / 'in'}")
    assert prepare(tmp_path / "out", "--name=images", *images)[0] == 0
    before = load_index(tmp_path / "out" / "images").label.tolist()
    for name, others, message in (
        ("images", arguments, "a dataset of images in classes, without the time that phases need"),
        ("images", arguments[1:], "a dataset of images in classes, without the time"),
        ("videos", images, "a dataset of videos; expected another --name for classes"),
    ):
        code, _, errors = prepare(tmp_path / "out", f"--name={name}", *others)
        assert code == 2
        assert message in errors
    assert load_index(tmp_path / "out" / "images").label.tolist() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset=classes"], "needs --images"),
        (["--dataset=classes", "--images=absent"], "absent: no such folder"),
        (["--dataset=classes", "--images=in", "--crop_margin=1"], "--crop_margin: without effect"),
        (["--dataset=polypsset"], "no PolypsSet in it"),
        (["--dataset=polypsset", "--archive=absent.zip"], "absent.zip: no such file"),
        (["--dataset=polypsset", "--synthetic", "--archive=in"], "expected one of them at a time"),
        (["--dataset=polypsset", "--synthetic", "--synthetic_videos=1"], "sequences"),
        (["--dataset=polypsset", "--synthetic", "--crop_margin=-1"], "crop_margin"),
        (["--dataset=polypsset", "--drop_black"], "--drop_black: without effect"),
        (
            ["--images=in"],
            "--images: without effect for --dataset=cholec80; expected --dataset=classes",
        ),
        (["--crop_margin=1"], "expected --dataset=polypsset"),
        (
            ["--dataset=classes", "--images=in", "--annotations=a.csv"],
            "--annotations: without effect for --dataset=classes; phases need the time of each",
        ),
        (["--dataset=polypsset", "--phases=a.txt"], "phases need the time of each image"),
        (["--dataset=kvasir"], "cholec80"),
    ],
)
def test_wrong_data_sets_of_classes_write_nothing(tmp_path, arguments, message):
    (tmp_path / "in").mkdir()
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
