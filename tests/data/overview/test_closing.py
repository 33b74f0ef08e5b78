"""What prepare.py proposes to do next: a command that fits the data set and sees no test image."""

import shlex

import pytest

from data.dataset.audit import Audit
from data.frames.opening import open_source
from data.image_classes.writing import LabelledImage, count_classes, draw_stratified, write_dataset
from data.kinds.kinds import FEW
from data.overview.closing import closing_lines
from data.preparing import prepare
from tests.support.class_images import write_image
from tests.support.small_videos import write_video


def flags(lines):
    (line,) = (line for line in lines if line.startswith("next: "))
    words = shlex.split(line.removeprefix("next: python -m msn.train "))
    return dict(word.removeprefix("--").removeprefix("config.").split("=", 1) for word in words)


def test_own_images_in_classes(tmp_path):
    for number in range(200):
        write_image(tmp_path / "in" / "ab"[number % 2] / f"{number}.png")
    made = prepare(tmp_path, dataset="classes", name="ours", images=tmp_path / "in")
    proposed = flags(made.lines)
    assert proposed["config"] == "configs/msn_small.py"
    assert int(proposed["batch_size"]) == 32  # of 140 images that train, four batches
    seen = open_source("images", proposed["data.root"], (proposed["data.exclude_videos"],))
    split = made.splits["protocols"][made.splits["default"]]
    assert sorted(seen.videos) == sorted(split["train"]["videos"])


def test_videos_without_labels_are_all_seen(tmp_path):
    for number in range(3):
        write_video(tmp_path / "in" / f"op{number}.mp4", frames=60)
    proposed = flags(prepare(tmp_path, name="ours", videos=tmp_path / "in").lines)
    assert proposed["config"] == "configs/msn_small.py"
    assert "data.exclude_videos" not in proposed


def test_what_tests_events_is_not_pre_trained_on(tmp_path):
    rows = ["video,start,end,bleeding"]
    for number in range(5):
        write_video(tmp_path / "in" / f"op{number}.mp4", frames=60)
        rows.append(f"op{number},0,1,active")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    annotations = tmp_path / "labels.csv"
    made = prepare(tmp_path, name="ours", videos=tmp_path / "in", annotations=annotations)
    assert flags(made.lines)["data.exclude_videos"] == "splits.json"
    frames = sum(of["frames"] for of in made.videos.values())
    assert f"5 videos, {frames} frames, {frames} of them labelled" in "\n".join(made.lines)


@pytest.mark.parametrize(
    "kind, few, many",
    [
        ("classes", "msn_small", "msn_base"),
        ("neopolyp", "msn_small", "msn_small"),
        ("polypsset", "msn_vits16_colonoscopy", "msn_vits16_colonoscopy"),
    ],
)
def test_the_configuration_is_for_so_many_frames(tmp_path, kind, few, many):
    images = [LabelledImage(f"s{n}", 1, n % 2, f"{n}.png") for n in range(10)]
    counts = count_classes(images, 2)
    for factor, config in ((1, few), (FEW, many)):
        audit = Audit()
        manifest = write_dataset(tmp_path, images, "ab", {"all": draw_stratified(counts)}, audit)
        for of in audit.videos.values():
            of["frames"] *= factor
        proposed = flags(closing_lines(tmp_path, audit, manifest, kind, False))
        assert proposed["config"] == f"configs/{config}.py"
        assert ("data.exclude_videos" in proposed) == (kind != "polypsset")  # whose configs do it
