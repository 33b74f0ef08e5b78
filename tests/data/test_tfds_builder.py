"""The TFDS builder: what it writes is what the dataset directory holds."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from matplotlib import pyplot
from PIL import Image

from data import tfds_builder
from data.common.errors import InputError
from data.dataset.cholec80 import PHASES
from data.dataset.frame_index import load_index
from data.images.image_io import read_image
from data.indexing.building import build_index
from data.splits.drawing import draw_split
from data.tfds_builder import EndoscopicFrames, FramesConfig, split_videos
from tests.support.small_dataset import draw_frame, make_small_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Videos of all splits, two frames each; video02 has no annotations."""
    root = make_small_dataset(tmp_path_factory.mktemp("tfds") / "ours", videos=50, seconds=2)
    (root / "phase_annotations" / "video02-phase.txt").unlink()
    (root / "tool_annotations" / "video02-tool.txt").unlink()
    build_index(root)
    return root


@pytest.fixture(scope="module")
def data_dir(dataset):
    """Where it is written by this process."""
    build(dataset, dataset.parent / "built")
    return dataset.parent / "built"


def build(root, data_dir):
    builder = EndoscopicFrames(config=FramesConfig(root=str(root)), data_dir=data_dir)
    builder.download_and_prepare()
    return builder


def as_stored(builder, split):
    """Examples in the order in which they lie on disk, images as bytes."""
    decoders = {"image": tfds.decode.SkipDecoding()}
    return list(builder.as_dataset(split=split, decoders=decoders).as_numpy_iterator())


def test_every_frame_is_in_the_split_of_its_video_with_its_labels(dataset, data_dir):
    index = load_index(dataset)
    rows = {
        (index.videos[video], frame): row
        for row, (video, frame) in enumerate(zip(index.video, index.frame.tolist(), strict=True))
    }
    places = {"train": range(1, 41), "validation": range(41, 49), "test": range(49, 51)}
    loaded = tfds.load("endoscopic_frames/ours", data_dir=data_dir)
    assert loaded.keys() == places.keys()
    for split, numbers in places.items():
        examples = list(loaded[split].as_numpy_iterator())
        names = {(example["video"].decode(), int(example["frame"])) for example in examples}
        assert names == {(f"video{n:02d}", frame) for n in numbers for frame in (1, 2)}
        assert len(examples) == len(names)
        for example in examples:
            row = rows[example["video"].decode(), int(example["frame"])]
            assert example["phase"] == index.phase[row]
            assert example["second"] == index.second[row]
            np.testing.assert_array_equal(example["tools"], index.tools[row])
            np.testing.assert_array_equal(example["image"], read_image(index.paths([row])[0]))


def test_files_are_stored_as_they_are(dataset, data_dir):
    builder = tfds.builder("endoscopic_frames/ours", data_dir=data_dir)
    for example in as_stored(builder, "test"):
        video, frame = example["video"].decode(), example["frame"]
        path = dataset / "frames" / video / f"{video}_{frame:06d}.png"
        assert example["image"] == path.read_bytes()


def test_it_explains_itself_without_this_project(data_dir):
    """`builder_from_directory` reads files alone."""
    (folder,) = data_dir.glob("endoscopic_frames/ours/*")
    features = tfds.builder_from_directory(folder).info.features
    assert all(feature.doc.desc for feature in features.values())
    assert tuple(features["phase"].names) == (*PHASES, "unknown")
    assert "Grasper, Bipolar, Hook" in features["tools"].doc.desc


def test_an_unknown_phase_is_shown_as_unknown(data_dir, monkeypatch):
    monkeypatch.setattr(pyplot, "show", lambda: None)
    dataset, info = tfds.load(
        "endoscopic_frames/ours", data_dir=data_dir, split="train", with_info=True
    )
    dataset = dataset.filter(lambda example: example["video"] == "video02")
    assert [e["tools"].tolist() for e in dataset.as_numpy_iterator()] == 2 * [[-1] * 7]
    figure = tfds.show_examples(dataset, info)
    assert [axes.get_xlabel() for axes in figure.axes] == 2 * ["unknown (-1)"]
    pyplot.close(figure)


def test_as_dataframe(data_dir):
    dataset, info = tfds.load(
        "endoscopic_frames/ours", data_dir=data_dir, split="test", with_info=True
    )
    table = tfds.as_dataframe(dataset, info)
    assert sorted(table["video"] + table["frame"].astype(str).str.encode("ascii")) == [
        *(b"video491", b"video492", b"video501", b"video502")
    ]
    assert "GallbladderDissection" in table._repr_html_()


def test_unreadable_frames_are_named_counted_and_left_out(tmp_path, caplog):
    root = make_small_dataset(tmp_path / "ours", videos=2, seconds=3)
    damaged = root / "frames" / "video01" / "video01_000002.png"
    damaged.write_bytes(damaged.read_bytes()[:300])
    missing = root / "frames" / "video02" / "video02_000003.png"
    missing.unlink()
    builder = build(root, tmp_path / "built")
    kept = {(example["video"], int(example["frame"])) for example in as_stored(builder, "train")}
    assert kept == {(b"video01", 1), (b"video01", 3), (b"video02", 1), (b"video02", 2)}
    assert f"left out: {damaged}" in caplog.text
    assert str(missing) in caplog.text
    assert "2 of 6 frames left out" in caplog.text


def test_no_readable_frame_is_an_error(tmp_path):
    root = make_small_dataset(tmp_path / "ours", videos=1, seconds=2)
    for path in root.glob("frames/*/*.png"):
        path.unlink()
    with pytest.raises(InputError, match="no frame of a split"):
        build(root, tmp_path / "built")


def test_images_that_tensorflow_reads_otherwise_become_png(tmp_path):
    """TIFF it does not read at all; photographs that lie on a side or upside down stay so."""
    folder = tmp_path / "photos" / "frames" / "patient 7"
    folder.mkdir(parents=True)
    image = Image.fromarray(draw_frame(2, seed=0, size=(48, 64)))
    image.save(folder / "b1.tiff")
    for number, orientation in ((2, 1), (4, 3), (6, 6)):
        tag = Image.Exif()
        tag[0x0112] = orientation
        image.save(folder / f"b{number}.jpg", quality=95, exif=tag)
    build_index(tmp_path / "photos")
    builder = build(tmp_path / "photos", tmp_path / "built")
    stored = {int(example["frame"]): example["image"] for example in as_stored(builder, "train")}
    assert stored[2] == (folder / "b2.jpg").read_bytes()
    examples = list(builder.as_dataset(split="train").as_numpy_iterator())
    shown = {int(example["frame"]): example["image"] for example in examples}
    for number, name in ((1, "b1.tiff"), (4, "b4.jpg"), (6, "b6.jpg")):
        np.testing.assert_array_equal(shown[number], read_image(folder / name))
    assert {example["second"] for example in examples} == {-1}  # the names do not tell


def test_seconds_follow_the_rate_of_extraction(tmp_path):
    root = make_small_dataset(tmp_path / "ours", videos=1, seconds=3)
    (root / "frames" / "extraction.json").write_text('{"fps": 0.5, "videos": {}}')
    seconds = {int(e["frame"]): e["second"] for e in as_stored(build(root, tmp_path), "train")}
    assert seconds == {1: 0, 2: 2, 3: 4}


def test_splits_are_those_of_the_default_protocol(tmp_path):
    assert split_videos(tmp_path, ["video01", "video41", "video49"]) == {
        "train": ("video01",),
        "validation": ("video41",),
        "test": ("video49",),
    }
    assert split_videos(tmp_path, ["video50"]) == {"test": ("video50",)}
    others = split_videos(tmp_path, [f"op{n}" for n in range(10)])
    assert others == draw_split(f"op{n}" for n in range(10))
    (tmp_path / "synthetic.json").write_text("{}")  # rendered: no operation of Cholec80
    rendered = split_videos(tmp_path, [f"video{n:02d}" for n in range(1, 11)])
    assert {part: len(videos) for part, videos in rendered.items()} == {
        "train": 7,
        "validation": 1,
        "test": 2,
    }


def test_a_configuration_says_what_is_wrong_with_it():
    with pytest.raises(InputError, match="root is empty"):
        FramesConfig()
    with pytest.raises(InputError, match="my data"):
        FramesConfig(root="/somewhere/my data")
    named = FramesConfig(root="/somewhere/my data", name="my-data")
    assert (named.name, named.root) == ("my-data", "/somewhere/my data")
    assert Path(FramesConfig(root="here").root).is_absolute()


@pytest.mark.skipif(not find_spec("apache_beam"), reason="requirements-beam.txt is not installed")
def test_tfds_build_with_two_beam_workers_writes_the_same(tmp_path, monkeypatch, caplog):
    from tensorflow_datasets.scripts.cli import main as cli

    root = make_small_dataset(tmp_path / "ours", videos=49, seconds=2)
    damaged = root / "frames" / "video07" / "video07_000001.png"
    damaged.write_bytes(damaged.read_bytes()[:300])
    in_process = build(root, tmp_path / "in_process")
    caplog.clear()
    flags = {
        "config": json.dumps({"root": str(root)}),
        "data_dir": tmp_path / "on_beam",
        "beam_pipeline_options": "runner=DirectRunner,direct_num_workers=2,"
        "direct_running_mode=multi_processing",
    }
    monkeypatch.chdir(Path(tfds_builder.__file__).parent.parent)  # workers import from there
    flags = [f"--{name}={value}" for name, value in flags.items()]
    cli.main(cli._parse_flags(["tfds", "build", "data/tfds_builder.py", *flags]))
    from_workers = [r.getMessage() for r in caplog.records if r.name.startswith("apache_beam")]
    assert any(f"left out: {damaged}" in message for message in from_workers)
    assert "1 of 98 frames left out" in caplog.text
    on_beam = tfds.builder("endoscopic_frames/ours", data_dir=tmp_path / "on_beam")
    assert on_beam.info.splits.keys() == {"train", "validation", "test"}
    for split in on_beam.info.splits:
        pairs = zip(as_stored(on_beam, split), as_stored(in_process, split), strict=True)
        for ours, expected in pairs:
            assert ours.keys() == expected.keys()
            assert all(np.array_equal(ours[key], expected[key]) for key in expected)
