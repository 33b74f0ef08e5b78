import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import encoder_comparison, phase_base
from data.common.configurations import ROOT
from data.common.errors import InputError
from data.dataset.classes import CHOLEC80
from data.dataset.frame_index import load_index
from down_stream import experiment
from down_stream.cells.opening import Encoders
from down_stream.comparison.checks import check
from down_stream.comparison.grid import run_comparison
from down_stream.comparison.plan import plan_cells, plan_labels
from down_stream.low_shot.plan import plan_subsets
from down_stream.metrics.draws import paired_difference
from down_stream.metrics.predictions import read_predictions
from down_stream.tasks import phases
from msn.encoders import save_encoder
from msn.networks.encoder import Encoder
from msn.sweep import Shard
from tests.support.small_phases import small_config

pytestmark = pytest.mark.usefixtures("eager")

TINY = {"image_size": 16, "patch_size": 8, "width": 12, "depth": 1, "num_heads": 3}
ORIGIN = {"method": "MSN", "step": 1, "network": "target", "videos": ["VID04"]}


def write_table(root, path):
    """Features from elsewhere: the number of the phase, so that they are right."""
    index = load_index([root])
    rows = {
        "embeddings": pa.array(np.eye(7, dtype=np.float32)[index.phase].tolist()),
        "video": np.asarray(index.videos)[index.video],
        "frame": index.frame,
    }
    pq.write_table(pa.table(rows), path)


def comparison_config(root, folder, **changes):
    """Small experiments, compared."""
    config = small_config(root)
    kept = encoder_comparison.get_config()
    config.model.variant = ""
    with config.unlocked():
        for key in set(kept) - set(phase_base.get_config()):
            config[key] = kept[key]
    config.encoders = (
        ("ours", str(folder / "encoder")),
        ("random", ""),
        ("table", str(folder / "features.parquet")),
    )
    config.modes, config.seeds = ("knn",), (0, 1)
    config.fractions = (0.5, 1.0)
    config.temporal = ""
    with config.unlocked():
        config.update(changes)
    return config


class Counted:
    """The experiment, with the names of the cells that were run."""

    def __init__(self, stop_at=None):
        self.names, self.stop_at = [], stop_at

    def __call__(self, config, workdir):
        if len(self.names) == self.stop_at:
            raise KeyboardInterrupt
        self.names.append(workdir.name)
        return experiment.run(config, workdir)


def compared(config, workdir, run, shard=None):
    start = ["python", "down_stream/main.py", "--config=configs/encoder_comparison.py"]
    task = phases(CHOLEC80)
    return run_comparison(config, workdir, run=run, task=task, start=start, shard=shard)[0]


@pytest.fixture(scope="module")
def folder(small_dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    save_encoder(Encoder(**TINY, seed=0), folder / "encoder", ORIGIN)
    write_table(small_dataset, folder / "features.parquet")
    return folder


@pytest.fixture(scope="module")
def done(small_dataset, folder, tmp_path_factory, eager):
    """A comparison that was stopped, and gone on with."""
    workdir = tmp_path_factory.mktemp("runs") / "comparison"
    stopped, rest = Counted(stop_at=4), Counted()
    config = comparison_config(small_dataset, folder)
    with pytest.raises(KeyboardInterrupt):
        compared(config, workdir, stopped)
    assert not (workdir / "comparison.html").exists()
    return workdir, compared(config, workdir, rest), stopped, rest


def test_what_is_done_is_not_done_again(done, small_dataset, folder):
    workdir, summary, stopped, rest = done
    assert len(stopped.names) == 4
    assert not set(stopped.names) & set(rest.names)
    cells = {cell["name"] for cell in summary["cells"]}
    assert cells == {*stopped.names, *rest.names}
    again = Counted()
    assert compared(comparison_config(small_dataset, folder), workdir, again) == summary
    assert not again.names


def test_a_cell_that_no_seed_has_a_part_in_is_run_once(done):
    _, summary, _, _ = done
    count = {row["encoder"]: row["seeds"] for row in summary["rows"] if row["videos"] == 2}
    assert count == {"ours": 1, "table": 1, "random": 2}  # of all labelled videos
    assert {row["seeds"] for row in summary["rows"] if row["videos"] == 1} == {2}


def test_scores_and_differences_are_those_of_the_predictions(done):
    workdir, summary, _, _ = done
    rows = {(r["way"], r["encoder"], r["videos"]): r for r in summary["rows"]}
    assert len(rows) == 6
    best = rows["knn", "table", 2]
    assert best["score"] == pytest.approx(1.0)  # it was given the labels
    ours, theirs = (
        [
            read_predictions(workdir / "cells" / f"{name}_knn_1videos_seed{seed}/predictions.csv")
            for seed in (0, 1)
        ]
        for name in ("table", "random")
    )
    found, _ = paired_difference("video", "f1", ours, theirs)
    assert rows["knn", "table", 1]["difference"] == pytest.approx(found)
    single = [paired_difference("video", "f1", *pair)[0] for pair in zip(ours, theirs, strict=True)]
    assert found == pytest.approx(np.mean(single))
    assert rows["knn", "random", 1]["difference"] is None
    with (workdir / "comparison.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6
    assert json.loads((workdir / "comparison.json").read_text()) == summary


def test_what_each_encoder_is_and_has_seen(done):
    _, summary, _, _ = done
    ours, table, random = (summary["encoders"][name] for name in ("ours", "table", "random"))
    assert ours["seen"] == "1 video"
    assert ours["leaks"] == ["pre-training has seen test videos: video04 (VID04)"]
    assert table["seen"] == "not known"
    assert random["seen"] == "nothing"
    assert ours["parameters"] == random["parameters"] > 1000
    assert ours["frames_per_second"] > 0
    assert ours["gflop"] == random["gflop"] > 0
    assert table["gflop"] is table["frames_per_second"] is None
    assert any("seen test videos: video04" in text for text in summary["warnings"])
    assert any(text.startswith("table") and "not known" in text for text in summary["warnings"])


def test_the_page_says_all_of_it(done):
    workdir, summary, _, _ = done
    page = (workdir / "comparison.html").read_text()
    for row in summary["rows"]:
        if row["difference"] is not None:
            assert f">{100 * row['difference']:+.1f}<" in page
    for text in ("k nearest neighbours", "Fewer labels", "What they cost", "VID04"):
        assert text in page
    assert len(summary["cells"]) == page.count("--config.encoders=()")


def test_shards_share_a_folder_and_the_last_one_writes_the_page(small_dataset, folder, tmp_path):
    config = comparison_config(small_dataset, folder, fractions=(1.0,), modes=("knn",), seeds=(0,))
    first, second = Counted(), Counted()
    assert compared(config, tmp_path / "shared", first, Shard(1, 2)) is None
    assert not (tmp_path / "shared" / "comparison.html").exists()
    summary = compared(config, tmp_path / "shared", second, Shard(2, 2))
    assert (tmp_path / "shared" / "comparison.html").is_file()
    assert sorted(first.names + second.names) == sorted(c["name"] for c in summary["cells"])
    assert len(first.names) == 2
    assert len(second.names) == 1


def test_an_encoder_that_was_trained_anew_is_noticed(small_dataset, folder, tmp_path):
    path = tmp_path / "encoder"
    config = comparison_config(
        small_dataset,
        folder,
        encoders=(("ours", str(path)), ("table", str(folder / "features.parquet"))),
        baseline="table",
        fractions=(1.0,),
    )

    def cells_that_run():
        run = Counted()
        compared(config, tmp_path / "runs", run)
        return run.names

    save_encoder(Encoder(**TINY, seed=1), path, ORIGIN)
    assert cells_that_run() == ["ours_knn_2videos_seed0", "table_knn_2videos_seed0"]
    save_encoder(Encoder(**TINY, seed=2), path, ORIGIN)
    assert cells_that_run() == ["ours_knn_2videos_seed0"]
    assert cells_that_run() == []


def relabel(root, video, phase):
    """Gives the first frame of a video another phase."""
    table = pq.read_table(root / "index.parquet")
    phases = table["phase"].to_numpy().copy()
    place = np.flatnonzero(np.array(table["video"].to_pylist()) == video)[0]
    assert phases[place] != phase
    phases[place] = phase
    field = table.schema.get_field_index("phase")
    table = table.set_column(field, table.schema.field("phase"), pa.array(phases))
    pq.write_table(table, root / "index.parquet")


def test_labels_that_were_corrected_are_noticed(small_dataset, folder, tmp_path, caplog):
    root = shutil.copytree(small_dataset, tmp_path / "data")
    encoders = (("table", str(folder / "features.parquet")), ("random", ""))
    changes = {"encoders": encoders, "seeds": (0,), "numbers": (1,), "fractions": (1.0,)}
    changes["model.like"] = str(folder / "encoder")
    config = comparison_config(root, folder)
    config.update_from_flattened_dict(changes)
    subsets = plan_subsets(config, tmp_path)["subsets"]["1"]["0"]

    def cells_that_run():
        run = Counted()
        compared(config, tmp_path / "runs", run)
        return sorted(run.names)

    every = cells_that_run()
    assert len(every) == 4
    unused = ({"video01", "video02"} - set(subsets)).pop()
    relabel(root, unused, 5)
    assert cells_that_run() == [name for name in every if "2videos" in name]
    assert "the labels, or the frames, have changed since; run again" in caplog.text
    relabel(root, "video04", 5)
    assert cells_that_run() == every
    assert cells_that_run() == []


def test_tables_of_other_labels_are_named_by_a_shard_too(small_dataset, folder, tmp_path):
    encoders = (("ours", str(folder / "encoder")), ("random", ""))
    changes = {"encoders": encoders, "seeds": (0, 1), "fractions": (1.0,)}
    config = comparison_config(small_dataset, folder, **changes)
    compared(config, tmp_path, Counted())
    file = tmp_path / "cells" / "random_knn_2videos_seed1" / "predictions.csv"
    lines = file.read_text().splitlines(keepends=True)
    column = lines[0].rstrip().split(",").index("label")
    cells = lines[1].split(",")
    cells[column] = "6" if cells[column] != "6" else "5"
    file.write_text("".join([lines[0], ",".join(cells), *lines[2:]]))
    named = "random_knn_2videos_seed0 and random_knn_2videos_seed1: the labels of the test frames"
    with pytest.raises(InputError, match=named):
        compared(config, tmp_path, Counted(), Shard(1, 2))


def test_a_difference_to_features_of_another_kind_is_marked(small_dataset, folder, tmp_path):
    changes = {"seeds": (0,), "fractions": (1.0,), "feature_kinds": ("cls", "mean")}
    encoders = (("table", str(folder / "features.parquet")), ("ours", str(folder / "encoder")))
    config = comparison_config(small_dataset, folder, **changes, encoders=encoders, baseline="ours")
    summary = compared(config, tmp_path, Counted())
    kinds = {(row["encoder"], row["kind"]): row["baseline_kind"] for row in summary["rows"]}
    assert kinds == {("table", "own"): "cls", ("ours", "cls"): None, ("ours", "mean"): None}
    page = (tmp_path / "comparison.html").read_text()
    assert ">Features of ours</th>" in page and "<td>cls</td></tr>" in page
    assert ",cls," in (tmp_path / "comparison.csv").read_text()


def test_all_encoders_that_cannot_be_used_are_said_before_a_cell_is_run(
    small_dataset, folder, tmp_path
):
    (tmp_path / "broken.npz").write_bytes(b"no table")
    encoders = (
        ("ours", str(folder / "encoder")),
        ("gone", str(tmp_path / "nothing")),
        ("broken", str(tmp_path / "broken.npz")),
    )
    config = comparison_config(small_dataset, folder, encoders=encoders, baseline="ours")
    run = Counted()
    with pytest.raises(InputError, match=r"encoders: 2 cannot be used: gone: .*; broken: "):
        compared(config, tmp_path / "runs", run)
    assert not run.names
    assert not (tmp_path / "runs").exists()


def test_what_one_encoder_alone_has(small_dataset, folder, tmp_path):
    """A third place in its entry: here, features of its own."""
    encoders = (
        ("ours", str(folder / "encoder"), {"features": "mean"}),
        ("random", ""),
    )
    config = comparison_config(
        small_dataset, folder, encoders=encoders, fractions=(1.0,), modes=("knn",), seeds=(0,)
    )
    seen = {}

    def run(config, workdir):
        seen[workdir.name] = config.features
        return experiment.run(config, workdir)

    compared(config, tmp_path / "runs", run)
    assert seen == {"ours_knn_2videos_seed0": "mean", "random_knn_2videos_seed0": None}


def test_what_there_cannot_be_is_said(small_dataset, folder, tmp_path):
    config = comparison_config(
        small_dataset,
        folder,
        modes=("knn", "finetune"),
        feature_kinds=("usual", "last4"),
        fractions=(1.0,),
        seeds=(0,),
    )
    labels = plan_labels(config, tmp_path)[1]
    cells, skipped = plan_cells(config, tmp_path, labels, Encoders(["last4"]), True)
    told = {(one.encoder, one.what): one.why for one in skipped}
    assert "cannot be trained" in told["table", "finetune"]
    assert "1 blocks" in told["ours", "knn on last4"]
    assert len(cells) == 5
    tuned = next(cell for cell in cells if cell.facts["mode"] == "finetune")
    assert tuned.config.batch_size == 64  # as configs/phase_finetune.py has it
    assert cells[0].config.batch_size == 14


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"modes": ("knn", "knn")}, "modes is"),
        ({"modes": ("magic",)}, "modes is 'magic'; expected probe"),
        ({"feature_kinds": ("magic",)}, "feature_kinds is 'magic'; expected usual"),
        ({"folds": 2, "fold_videos": 1}, r"fold_videos is 1 in a comparison; expected .*\(1,\)"),
        ({"baseline": "other"}, "baseline is 'other'"),
        ({"settings": {"finetune": {"epoch": 3}}}, "settings.finetune: unknown key 'epoch'; did"),
        ({"settings": {"knn": {"epochs": "x"}}}, "settings.knn.epochs is 'x'"),
        ({"settings": {"knn": {"label_smoothing": 2.0}}}, "cells of ours, knn: label_smoothing"),
        ({"epochs": 0}, "cells of ours, knn: epochs is 0"),
    ],
)
def test_what_is_no_comparison(small_dataset, folder, changes, named):
    check(comparison_config(small_dataset, folder))
    with pytest.raises(InputError, match=named):
        check(comparison_config(small_dataset, folder, **changes))


def test_the_command_refuses_a_shard_where_there_is_nothing_to_share(tmp_path):
    command = [sys.executable, "down_stream/main.py", "--config=configs/phase_demo.py"]
    command += ["--shard=1/2", f"--config.data.root=('{tmp_path}',)"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ)
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1
