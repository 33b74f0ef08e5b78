"""Few labels, in rounds: select, annotate, train, let the model say it, correct, train, select."""

import csv
import shutil

import numpy as np
import pytest

from data.annotations.corrections import read_labelled_by
from data.dataset.cholec80 import PHASES
from data.dataset.frame_index import load_index
from data.frames.listing import list_dataset
from data.indexing.building import build_index
from down_stream.experiment import run
from down_stream.inference.annotations import Wanted as Annotations
from down_stream.inference.embeddings import Options, embed
from down_stream.selection.selecting import Wanted, select
from msn.encoders import save_encoder
from msn.networks.encoder import create_encoder
from tests.support.small_dataset import make_small_dataset
from tests.support.small_msn import VARIANT
from tests.support.small_phases import small_config

pytestmark = pytest.mark.usefixtures("eager")

SECONDS = 14
TEST = ("video09", "video10")  # which people have labelled for that


def truth(second):
    return PHASES[second * 7 // SECONDS]


def annotate(folder, video):
    """What a person types of a video."""
    rows = [f"{video},{s},{s + 1},{truth(s)}" for s in range(SECONDS)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{video}.csv").write_text("\n".join(["video,start,end,phase", *rows]) + "\n")


def correct(file):
    """What a person makes of a model's table: each row stays where it is right, others change."""
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    corrected = []
    for row in rows:
        first, behind = int(float(row["start"])), int(float(row["end"]))
        for second in range(first, behind):
            corrected.append(row | {"start": second, "end": second + 1, "phase": truth(second)})
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, rows[0].keys())
        writer.writeheader()
        writer.writerows(corrected)


def test_a_round_on_the_miniature(tmp_path):
    complete = make_small_dataset(tmp_path / "complete", videos=10, seconds=SECONDS)
    root, kept = tmp_path / "cholec80", tmp_path / "cholec80" / "annotations"
    shutil.copytree(complete / "frames", root / "frames")
    videos = load_index(complete).videos
    encoder = tmp_path / "encoder"
    save_encoder(create_encoder(VARIANT, image_size=16, seed=3), encoder, {})

    def chosen(model, number, table):
        embed(model, list_dataset(root), tmp_path / table, Options())
        wanted = Wanted(root=root, task="phases", budget=str(number), excluded=TEST)
        names, _ = select([tmp_path / table], wanted, tmp_path / f"{table}.csv", [])
        return [name for name in names if name not in TEST]

    def train(name, **changes):
        learning = [video for video in videos if video not in TEST]
        settings = {"mode": "logistic", "encoder": str(encoder), "model__variant": ""} | changes
        config = small_config(root, **settings)
        config.train_videos, config.validation_videos = tuple(learning), ()
        config.test_videos = TEST
        return run(config, tmp_path / name)

    for video in TEST:
        annotate(kept / "people", video)
    build_index(root)

    # Round one: nothing is known but the frames.
    first = chosen(encoder, 2, "encoder.parquet")
    assert len(first) == 2
    for video in first:
        annotate(kept / "people", video)
    assert not build_index(root).problems
    one = train("one")
    assert one["frames"]["train"] == 2 * SECONDS

    # The model says the others; a person corrects two of them.
    said = Annotations(tmp_path / "said", min_seconds=0)
    embed(
        tmp_path / "one" / "model",
        list_dataset(root),
        tmp_path / "one.parquet",
        Options(annotations=said),
    )
    others = [video for video in videos if video not in (*TEST, *first)]
    for video in (*TEST, *first):
        (said.folder / f"{video}.csv").unlink()
    second = others[:2]
    for video in second:
        correct(said.folder / f"{video}.csv")
    shutil.copytree(said.folder, kept / "said")
    audit = build_index(root)
    assert not audit.problems
    authors = {video: of["phase"] for video, of in read_labelled_by(root).items()}
    assert authors == dict.fromkeys(others, "model") | dict.fromkeys(second, "corrected")
    for video in second:
        counts = audit.videos[video]
        seconds = [counts[name] for name in ("kept_s", "moved_s", "changed_s")]
        print(f"{video}: kept, moved, changed: {seconds} s")
        assert sum(seconds) == SECONDS
        index = load_index(root).select(videos=(video,))
        assert [PHASES[k] for k in index.phase] == [truth(s) for s in range(SECONDS)]

    two = train("two")
    assert two["frames"]["train"] == 4 * SECONDS
    assert sorted(two["videos"]["train"]) == sorted([*first, *second])
    pseudo = train("pseudo", pseudo_labels=0.3)
    assert pseudo["frames"]["train"] == 8 * SECONDS
    scores = {of["name"]: of["metrics"]["video"]["f1"] for of in (one, two, pseudo)}
    print("macro-F1 of the test videos:", {name: f"{score:.3f}" for name, score in scores.items()})
    assert scores["two"] > scores["one"]

    # The next round chooses among what people have not looked at.
    third = chosen(tmp_path / "two" / "model", 2, "two.parquet")
    print("next:", third)
    assert np.isin(third, [video for video in others if video not in second]).all()
