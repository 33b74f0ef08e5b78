"""Datasets of images in classes, by the command `prepare.py`."""

import json

import numpy as np
import pytest

from data.dataset.frame_index import load_index
from tests.support.prepared import prepare, write_image


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
