import json
import logging
import re

import cv2
import numpy as np
import pytest

from data.batches.sampling import source_of_videos
from data.frames.opening import open_source
from data.indexing.building import build_index
from data.overview import looks
from data.overview.looks import KINDS, differences, measure_frame, say_differences
from data.preparing import prepare
from msn.pretrain import pretrain
from tests.support.small_msn import small_config

RED = (200, 100, 50)


def draw(random, size=(40, 30), colour=RED, border=0, noise=12):
    """An RGB frame of one colour but for light and noise, in a black border of some pixels."""
    width, height = size
    image = np.zeros((height, width, 3), np.float32)
    light = random.normal(1, 0.08)
    inside = image[border : height - border, border : width - border]
    inside += np.multiply(colour, light) + random.normal(0, noise, inside.shape)
    image = np.clip(image, 0, 255)
    image[border : height - border, border : width - border] += 21  # lit everywhere
    return np.clip(image, 0, 255).astype(np.uint8)


def make(root, count=30, seed=0, **options):
    """A data set of single images."""
    random = np.random.default_rng(seed)
    for number in range(count):
        folder = root / "frames" / f"{root.name}_{number}"
        folder.mkdir(parents=True)
        assert cv2.imwrite(str(folder / "a.png"), draw(random, **options)[..., ::-1])
    build_index(root)
    return root


def said(*roots):
    frames = open_source("images", roots)
    return say_differences(frames, source_of_videos(frames, roots), roots)


def test_what_is_measured_of_a_frame():
    image = np.zeros((30, 60, 3), np.uint8)
    image[3:27, 6:54] = (200, 100, 60)
    brightness, cast, height, shape, border = measure_frame(image)
    assert (brightness, cast, height, shape) == (pytest.approx(120), 2.0, 30, 2.0)
    assert border == pytest.approx(1 - 0.8 * 0.8)
    black = measure_frame(np.zeros((4, 4, 3), np.uint8))
    assert np.isnan(black).tolist() == [True, True, False, False, True]
    assert measure_frame(np.full((4, 4, 3), (255, 0, 0), np.uint8))[1] == 255


def test_data_sets_that_look_alike_are_not_spoken_of(tmp_path):
    roots = [make(tmp_path / name, seed=seed) for seed, name in enumerate("abc")]
    assert said(*roots) == said(roots[0]) == ""


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"colour": (100, 50, 25)}, r"brightness \d+ (b) to \d+ (a)"),
        ({"colour": (140, 140, 70)}, r"red to green 1\.\d\d (b) to 1\.\d\d (a)"),
        ({"border": 4}, r"black border 0% (a) to 41% (b)"),
        ({"size": (40, 40)}, r"width to height 1\.00 (b) to 1\.33 (a)"),
        ({"size": (120, 90)}, r"height 30 (a) to 90 (b)"),
    ],
)
def test_a_difference_is_said_with_its_numbers(tmp_path, options, text):
    roots = make(tmp_path / "a"), make(tmp_path / "b", seed=1, **options)
    line = said(*roots)
    assert line.startswith("these 2 data sets look different: ")
    assert re.search(text.replace("(", r"\(").replace(")", r"\)"), line), line
    assert "\n" not in line


def test_the_largest_difference_is_the_first():
    random = np.random.default_rng(0)
    one, other = random.normal(0, 1, (2, 24, len(KINDS)))
    other[:, 4] += 20
    other[:, 0] += 60
    found = differences({"one": one, "other": other})
    assert [difference.kind for difference in found] == ["black border", "brightness"]
    assert all(difference.low[0] == "one" for difference in found)


def test_frames_that_cannot_be_read_are_left_out(tmp_path):
    roots = make(tmp_path / "a"), make(tmp_path / "b", border=4)
    line = said(*roots)
    for root in roots:
        for file in sorted(root.glob("frames/*/a.png"))[1::2]:
            file.write_bytes(b"broken")
    assert said(*roots).startswith(line[:48])
    for file in roots[1].glob("frames/*/a.png"):
        file.write_bytes(b"broken")
    assert said(*roots) == ""


def test_data_sets_of_one_name_are_told_apart_by_their_folders(tmp_path):
    roots = make(tmp_path / "x" / "a"), make(tmp_path / "y" / "b", border=4)
    renamed = roots[1].rename(tmp_path / "y" / "a")
    line = said(roots[0], renamed)
    assert f"black border 0% ({roots[0]}) to 41% ({renamed})" in line


@pytest.mark.usefixtures("eager")
def test_a_run_says_it_when_it_begins(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(looks, "SAMPLED", 4)
    roots = make(tmp_path / "a", 8), make(tmp_path / "b", 8, border=4)
    caplog.set_level(logging.INFO)
    config = small_config(tmp_path, steps=2)
    config.data.root = tuple(map(str, roots))
    config.data.balance_sources = config.data.one_source_per_batch = True
    assert pretrain(config, tmp_path / "run")
    assert (
        caplog.text.count("these 2 data sets look different: black border 0% (a) to 41% (b)") == 1
    )
    caplog.clear()
    assert pretrain(config, tmp_path / "run")
    assert "look different" not in caplog.text


def place(folder, count, seed=0, **options):
    """A folder of recordings as a hospital gives it: a folder of numbered images for each."""
    random = np.random.default_rng(seed)
    for number in range(count):
        video = folder / f"{folder.name} {number}"
        video.mkdir(parents=True)
        for frame in range(4):
            image = draw(random, **options)[..., ::-1]
            assert cv2.imwrite(str(video / f"{frame + 1:06d}.png"), image)


def remarks(tmp_path, name="ours"):
    prepared = prepare(data_rootdir=tmp_path / "data", name=name, videos=tmp_path / "given")
    return [line for line in prepared.remarks if "look different" in line], prepared


DARK, CAST = {"colour": (100, 50, 25)}, {"colour": (140, 140, 70)}


@pytest.mark.parametrize(("options", "kind"), [(DARK, "brightness"), (CAST, "red to green")])
def test_folders_of_one_dataset_that_look_different_are_said(tmp_path, options, kind):
    place(tmp_path / "given" / "Bergamo è", 6)
    place(tmp_path / "given" / "Ulm", 6, 1, **options)
    (line,), prepared = remarks(tmp_path)
    root = tmp_path / "data" / "ours"
    assert line.startswith(f"{root}: these 2 folders of its videos look different: {kind} ")
    assert "(Bergamo è)" in line and "(Ulm)" in line and "\n" not in line
    assert prepared.remarks[0] == line
    assert any(line in text for text in prepared.lines), "printed, too"


def stored(root):
    return json.loads((root / "audit.json").read_text())["remarks"]


def test_what_is_said_of_folders_is_in_the_audit_of_every_call(tmp_path, monkeypatch):
    place(tmp_path / "given" / "Bergamo", 6)
    place(tmp_path / "given" / "Ulm", 6, 1, **DARK)
    (line,), prepared = remarks(tmp_path)
    assert stored(prepared.root) == prepared.remarks
    compared = []
    compare = looks._compare_folders
    monkeypatch.setattr(looks, "_compare_folders", lambda *a: compared.append(a) or compare(*a))
    again = remarks(tmp_path)
    assert again[0] == [line]
    assert stored(prepared.root) == again[1].remarks
    without_videos = prepare(data_rootdir=tmp_path / "data", name="ours")
    assert without_videos.remarks[0] == line
    assert stored(prepared.root) == without_videos.remarks
    assert not compared, "frames that are as they were are not looked at again"
    place(tmp_path / "given" / "Ulm" / "new", 1, **DARK)
    assert remarks(tmp_path)[0] == [line]
    assert len(compared) == 1


def test_folders_of_cropped_frames_are_compared_again(tmp_path):
    place(tmp_path / "given" / "a", 5)
    place(tmp_path / "given" / "b", 5, 1, border=8)
    assert "black border 0% (a) to" in remarks(tmp_path)[0][0]
    given = {"data_rootdir": tmp_path / "data", "name": "ours", "videos": tmp_path / "given"}
    assert "black border" not in str(prepare(**given, crop_borders=True))
    assert "black border 0% (a) to" in remarks(tmp_path)[0][0]


def test_a_remark_on_packed_frames_is_in_the_audit(tmp_path):
    place(tmp_path / "given" / "a", 3)
    given = {"data_rootdir": tmp_path / "data", "name": "ours", "videos": tmp_path / "given"}
    prepare(**given, pack=True)
    place(tmp_path / "given" / "b", 1)
    prepared = prepare(**given)
    assert any("--pack packs these again" in remark for remark in prepared.remarks)
    assert stored(prepared.root) == prepared.remarks


def test_folders_that_look_alike_or_are_one_are_not_spoken_of(tmp_path):
    place(tmp_path / "given" / "a", 6)
    assert not remarks(tmp_path, "one")[0]
    place(tmp_path / "given" / "b", 6, 1)
    assert not remarks(tmp_path, "two")[0]


def test_folders_of_few_operations_are_no_data_sets(tmp_path):
    """Two operations of one hospital differ by as much."""
    place(tmp_path / "given" / "a", 5)
    place(tmp_path / "given" / "b", 4, 1, border=4)
    assert not remarks(tmp_path, "few")[0]
    place(tmp_path / "given" / "c", 5, 2, border=4)
    (line,), _ = remarks(tmp_path, "enough")
    assert "these 2 folders of its videos look different: black border 0% (a) to 41% (c);" in line


def test_many_folders_are_no_data_sets(tmp_path, monkeypatch):
    for number in range(3):
        place(tmp_path / "given" / f"day {number}", 5, number, border=2 * number)
    assert remarks(tmp_path, "few")[0]
    monkeypatch.setattr(looks, "MOST_FOLDERS", 2)
    assert not remarks(tmp_path, "many")[0]


def images(folder, count=24, seed=0, name="{:032x}", **options):
    """A flat folder of single images; their names are hashes, if nothing else is said."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(count):
        file = folder / f"{name.format(0xABCDEF * (number + 1))}.png"
        assert cv2.imwrite(str(file), draw(random, **options)[..., ::-1])


def test_flat_folders_of_single_images_that_look_different_are_said(tmp_path):
    """As public sets come: a folder each, which is one video to the index."""
    images(tmp_path / "given" / "kvasir")
    images(tmp_path / "given" / "endotect", seed=1, border=4)
    images(tmp_path / "given" / "few", 23, seed=2, border=8)
    (line,), prepared = remarks(tmp_path)
    assert (
        "these 2 folders of its images look different: black border 0% (kvasir) to 41% (endotect);"
        in line
    )
    assert prepared.remarks[0] == line
    assert remarks(tmp_path)[0] == [line], "said again"


def test_flat_folders_of_numbered_frames_are_two_operations(tmp_path):
    images(tmp_path / "given" / "a", name="{:d}")
    images(tmp_path / "given" / "b", seed=1, name="{:d}", border=4)
    assert not remarks(tmp_path)[0]


def test_images_and_operations_are_compared(tmp_path):
    images(tmp_path / "given" / "a")
    place(tmp_path / "given" / "b", 5, 1, border=4)
    (line,), _ = remarks(tmp_path)
    assert "these 2 folders of its videos look different: black border 0% (a) to 41% (b);" in line
