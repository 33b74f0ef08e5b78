"""Whatever writes a file writes it whole: where that fails, what was there is as it was."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data.annotation_formats.frame_table import write_annotations
from data.common.errors import InputError
from data.dataset.extraction_log import is_complete, write_log
from data.images.image_io import write_frame
from data.indexing.building import build_index
from data.splits.parts import PARTS
from data.splits.protocols import write_protocols, write_splits
from data.storage.cached_table import cached_table
from data.storage.whole import write_json
from down_stream import experiment
from down_stream.classifiers.frame_model import FrameModel, save_frame_model
from down_stream.features import cache
from down_stream.inference.attention import write_attention
from down_stream.inference.map import Plane
from down_stream.inference.map import write_page as write_map
from down_stream.inference.parts.table import write_table
from down_stream.inference.parts.video_parts import VideoParts
from down_stream.low_shot import subsets, table
from down_stream.report.figures import save_png
from down_stream.report.page import write_report
from down_stream.temporal.model import TemporalModel, save_temporal
from msn.networks.encoder import Encoder
from msn.workdir.checkpoint_files import write_state
from msn.workdir.run_directory import write_configuration
from tests.support.small_dataset import make_small_dataset
from tests.support.small_msn import small_config
from tests.support.small_phases import small_config as phase_config

IMAGE = np.zeros((16, 16, 3), np.uint8)
FRAME = SimpleNamespace(image=IMAGE, aspect=1.0, row=3)
PLANE = Plane(np.zeros((1, 2)), "", ("", ""))
COLUMN = {"embeddings": lambda: iter([np.zeros((2, 3), np.float32)])}


def small_model():
    encoder = Encoder(image_size=16, patch_size=8, width=12, depth=1, num_heads=3, seed=0)
    return FrameModel(encoder, ["a", "b"], seed=0)


def figure():
    from matplotlib.figure import Figure

    return Figure(figsize=(1, 1))


def in_dataset(write):
    """A writer in the folder of a data set, which is made for it."""

    def write_there(folder):
        if not (folder / "frames").exists():
            make_small_dataset(folder, videos=1, seconds=2)
        write(folder)

    return write_there


def index_a_change(folder):
    next((folder / "frames").rglob("*.png")).touch()  # else the index that is there stays
    build_index(folder)


def add_part(folder):
    VideoParts(folder / "e", "op", 5).add(5, {"second": np.arange(5)}, [])


# What is written, by its place in a folder: how to write it there.
WRITERS = {
    "index.parquet": in_dataset(index_a_change),
    "classes.json": in_dataset(build_index),
    "audit.json": in_dataset(build_index),
    "splits.json": in_dataset(write_splits),
    "protocols.json": lambda f: write_protocols(f, {"ours": dict.fromkeys(PARTS, ())}),
    "extraction.json": lambda f: write_log(f, {"fps": 1.0, "videos": {}}),
    "frame.png": lambda f: write_frame(f / "frame.png", IMAGE, {"size": None}),
    "phase_annotations/a-phase.txt": lambda f: write_annotations(
        f, "a", {0: ("Preparation", [0] * 7)}, replace=True
    ),
    "table.npz": lambda f: cached_table(
        f / "table.npz", [Path(__file__)], lambda: {"n": np.arange(3)}
    ),
    "model": lambda f: save_frame_model(small_model(), f / "model", {}),
    "temporal": lambda f: save_temporal(TemporalModel(3, 2, num_layers=1), f / "temporal"),
    "entry.npy": lambda f: cache._write(f / "entry.npy", np.arange(3)),
    "attention.png": lambda f: write_attention(f / "attention.png", FRAME, np.ones((2, 4))),
    "map.html": lambda f: write_map(f / "map.html", PLANE, {}, ["a"], [b""]),
    "e.npz": lambda f: write_table(f / "e.npz", 2, COLUMN),
    "e.parquet": lambda f: write_table(f / "e.parquet", 2, COLUMN),
    "e/part_000000000005.npz": add_part,
    "label_subsets.json": lambda f: subsets.write_subsets(f / "label_subsets.json", {}),
    "low_shot.json": lambda f: write_json(f / "low_shot.json", {}, durable=True),
    "low_shot.csv": lambda f: table.write_cells(f / "low_shot.csv", [{"score": 1}]),
    "picture.png": lambda f: save_png(figure(), f / "picture.png"),
    "report.html": lambda f: write_report(f / "report.html", "title", [], subtitle=""),
    "step.safetensors": lambda f: write_state(f / "step.safetensors", {"a": np.ones(3)}, {}),
    "config.json": lambda f: write_configuration(f, small_config(f)),
}


def content(path):
    files = [path, *sorted(path.rglob("*"))] if path.is_dir() else [path]
    return [(file, file.stat().st_ino, file.stat().st_mtime_ns) for file in files]


@pytest.mark.parametrize("name", WRITERS)
def test_a_write_that_fails_at_its_end_changes_nothing(tmp_path, monkeypatch, name):
    write, path = WRITERS[name], tmp_path / name
    write(tmp_path)
    before, names = content(path), sorted(tmp_path.rglob("*"))
    if name == "table.npz":  # which is only made again where it is no longer right
        path.write_bytes(b"")
        before = content(path)
    in_place = Path.replace, Path.rename

    def failing(move):
        def moved(self, target):
            if Path(target) == path and self.name.startswith(".part"):
                raise OSError("full")
            return move(self, target)

        return moved

    for operation, move in zip(("replace", "rename"), in_place, strict=True):
        monkeypatch.setattr(Path, operation, failing(move))
    if name == "table.npz":
        write(tmp_path)
    else:
        with pytest.raises((OSError, InputError), match="full"):
            write(tmp_path)
    assert content(path) == before
    assert sorted(tmp_path.rglob("*")) == names


def test_results_that_are_there_say_that_the_rest_is(small_dataset, tmp_path, monkeypatch):
    """An experiment that ends before its report leaves none, not even those of an earlier one."""

    def full(*_):
        raise OSError("full")

    (tmp_path / "results.json").write_text("{}")
    monkeypatch.setattr(experiment, "write_task_report", full)
    with pytest.raises(OSError, match="full"):
        experiment.run(phase_config(small_dataset, mode="knn"), tmp_path)
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize(
    ("frames", "noted", "complete"),
    [
        ((1, 2, 3), 3, True),
        ((1, 2, 3, 4), 3, True),  # of a longer video that was replaced: nothing is missing
        ((1, 2), 3, False),
        ((2, 3), 3, False),
        ((1, 3, 4), 3, False),
        ((1, 2, 3), None, False),
        ((), 0, True),
    ],
)
def test_a_video_is_complete_with_all_of_its_frames(tmp_path, frames, noted, complete):
    (tmp_path / "op1").mkdir()
    for number in frames:
        (tmp_path / "op1" / f"op1_{number:06d}.png").touch()
    done = {} if noted is None else {"op1": {"frames": noted}}
    assert is_complete("op1", tmp_path, done) == complete
