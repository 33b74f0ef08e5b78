"""Every command and snippet of the README and of docs/, in reading order, with tiny networks.

Commands that need what is not here are in NOT_RUN, with the reason; of those that are ours, the
flags and configuration keys are read all the same.
"""

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.dataset.cholec80 import PHASES
from data.dataset.index_columns import INDEX
from data.public_datasets.preparing import FIND
from data.storage.folders import copy_folder
from data.storage.paths import to_path
from tests.support import documented, public_archives
from tests.support.places import ROOT
from tests.support.small_dataset import draw_frame, make_small_dataset, write
from tests.support.small_msn import VARIANT
from tests.support.small_polyps import write_image, write_polypsset

READING_ORDER = (
    *("data", "your_own_data", "pretraining", "down_stream", "inference", "annotation_rounds"),
    *("few_labels", "encoders", "scaling", "design", "recipes", "mutants", "trackers", "cluster"),
    *("corpus", "python"),
)
PAGES = ["README.md", *(f"docs/{name}.md" for name in READING_ORDER)]
TEXTS = {page: (ROOT / page).read_text() for page in PAGES}
NOT_RUN = {  # a part of the command: why
    "--verify_checksum": "downloads 85 GB",
    "strategy=mirrored": "GPUs",
    "strategy=multi_worker": "several machines, or Slurm",
    "strategy=tpu": "a TPU",
    "--format=onnx": "packages of requirements-export.txt; make test-export",
    "--format=tflite": "packages of requirements-export.txt; make test-export",
    "--push": "a token of the Hub; tests/msn/formats/test_push.py has a server",
    "tensorflow_model_server": "TensorFlow Serving",
    "tensorboard": "a server, which does not end",
    "KERAS_BACKEND": "packages of requirements-backends.txt; make test-backends",
    "--beam_pipeline_options": "packages of requirements-beam.txt; make test-beam",
    "worker_pool_main": "packages of requirements-beam.txt, and a server, which does not end",
    "distributed.cli": "packages of requirements-beam.txt, and a server, which does not end",
    "tfds build": "packages of requirements-beam.txt; make test-beam",
    "pip install": "changes the environment",
    "sbatch": "Slurm; tests/end_to_end/test_slurm.py runs the files with a stand-in",
    "docker": "a container engine",
    "MLFLOW_TRACKING_URI": "a server of MLflow; make test-tracking",
    "track=mlflow": "a server of MLflow; make test-tracking",
    ".venv/bin/python -c": "GPUs",
    "make": "the whole way; its targets are looked up",
}
# Commands that the page says end with 1: a spelling is named, before a table says what it means.
DONE_IN_PART = ("--annotations=clinic_phases.csv",)
SNIPPETS_NOT_RUN = {
    "onnxruntime": "packages of requirements-export.txt; make test-export",
    'overrides = {"data.root"': "a minute; tests/down_stream/test_embedding.py has a tiny network",
    "phase_probe.py": "as the one before",
}
SMALLER = {"--synthetic": ["--synthetic_videos=2", "--synthetic_seconds=14", "--name=rendered"]}


def write_video(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (96, 64))
    for frame in range(100):
        writer.write(draw_frame(frame // 25, 100 * seed + frame // 25, size=(64, 96))[..., ::-1])
    writer.release()


@pytest.fixture(scope="module")
def place(s3, tmp_path_factory):
    """A folder with what the pages take for granted: videos, archives, somebody's encoders."""
    root = tmp_path_factory.mktemp("documentation")
    for folder in ("configs", "requirements.txt", "requirements-beam.txt"):
        (root / folder).symlink_to(ROOT / folder)
    make_small_dataset(root / "datasets" / "cholec80")
    for number in range(1, 5):
        write_video(root / "recordings" / f"op{number}.mp4", number)
        rows = [f"{row}\t{PHASES[row // 25]}" for row in range(100)]
        phases = root / "datasets" / "ours" / "phase_annotations" / f"op{number}-phase.txt"
        write(phases, ["Frame\tPhase", *rows])
    write(root / "operations.csv", ["file,operation,order", "op1.mp4,a,1", "op2.mp4,a,2"])
    shutil.copy(root / "recordings" / "op1.mp4", root / "operation.mp4")
    shutil.copytree(root / "recordings", root / "clinic")
    write(root / "spellings.csv", ["from,to", "naht,Naht"])
    names = ("Zugang", "Präparation", "Naht", "naht")
    rows = [f"op{n};0:0{k};0:0{k + 1};{names[k]}" for n in range(1, 5) for k in range(4)]
    write(root / "clinic_phases.csv", ["Video;Start;End;Phase", *rows])
    for name in (*FIND, "neopolyp"):
        getattr(public_archives, f"make_{name}")(root / "downloads" / name)
    write_polypsset(root / "PolypsSet")
    shutil.make_archive(str(root / "PolypsSet"), "zip", root / "PolypsSet")
    rows = ["image,sequence"]
    for kind in ("cyst", "normal"):
        for number in range(10):
            image = write_image(root / "kvasir_images", f"{kind}_{number}")
            (root / "kvasir" / kind).mkdir(parents=True, exist_ok=True)
            image.rename(root / "kvasir" / kind / image.name)
            rows.append(f"{kind}/{image.name},{kind[0]}{number // 2}")
    write(root / "sequences.csv", rows)
    write(
        root / "cells.txt",
        next(documented.blocks(TEXTS["docs/down_stream.md"], ("text",))).split("\n"),
    )
    write(root / "patients.csv", ["video,patient", *(f"op{n}.mp4,P{n}" for n in range(1, 5))])
    frame = root / "runs/demo/data/cholec80/frames/video13/video13_000005.jpg"
    frame.parent.mkdir(parents=True)
    cv2.imwrite(str(frame), draw_frame(0, 0, size=(64, 96)))
    copy_folder(root / "datasets" / "cholec80", to_path("s3://bucket/datasets/ours"), INDEX)
    encoder = root / "runs" / "ours" / "encoder"
    for link, target in {
        "runs/demo/msn": encoder.parent,
        "runs/msn_vits16": encoder.parent,
        "runs/msn_vits16_colonoscopy": encoder.parent,
        "endossl/NAME": encoder,
        "FRAMES": root / "datasets" / "ours" / "frames",
    }.items():
        (root / link).parent.mkdir(parents=True, exist_ok=True)
        (root / link).symlink_to(target)
    return root


@pytest.fixture
def tiny(place, monkeypatch, eager):
    """The commands train tiny networks; all else is theirs."""
    import down_stream.checks
    import down_stream.classifiers.logistic_regression
    import down_stream.comparison.grid
    import down_stream.cross_validation
    import down_stream.experiment
    import down_stream.features.labelled_splits
    import down_stream.low_shot.grid
    import msn.pretrain

    cross_validate = down_stream.cross_validation.cross_validate
    pretrain, run, run_grid = (
        msn.pretrain.pretrain,
        down_stream.experiment.run,
        down_stream.low_shot.grid.run_grid,
    )

    def small_pretrain(config, workdir):
        documented.shrink_pretraining(config)
        return pretrain(config, workdir)

    def shrink(config):
        own = {part: config[part] for part in config if part.endswith("_videos")}
        documented.shrink_experiment(config)
        if "cholec80" not in config.data.root[0]:
            config.update(own)

    def small_run(config, workdir, **given):
        shrink(config)
        return run(config, workdir, **given)

    check_inputs = down_stream.checks.check_inputs

    def small_check(config):
        shrink(config)
        config.folds = min(config.folds, 2)
        return check_inputs(config)

    def small_folds(config, workdir, run):
        documented.shrink_experiment(config)
        config.folds = 2
        return cross_validate(config, workdir, run)

    def small_grid(config, workdir, **arguments):
        config.fractions, config.seeds = (0.5,), (0,)
        config.model.variant = VARIANT
        return run_grid(config, workdir, **arguments)

    compare = down_stream.comparison.grid.run_comparison

    def small_comparison(config, workdir, **arguments):
        documented.shrink_experiment(config)
        config.train_videos = ("video01", "video02")
        config.modes, config.fractions, config.seeds, config.temporal = ("knn",), (1.0,), (0,), ""
        config.model.variant = ""
        return compare(config, workdir, **arguments)

    logistic = down_stream.classifiers.logistic_regression
    monkeypatch.setattr(logistic, "PENALTIES", logistic.PENALTIES[:4])
    monkeypatch.setattr(down_stream.comparison.grid, "run_comparison", small_comparison)
    monkeypatch.setattr(down_stream.checks, "check_inputs", small_check)
    monkeypatch.setattr(msn.pretrain, "pretrain", small_pretrain)
    monkeypatch.setattr(down_stream.experiment, "run", small_run)
    monkeypatch.setattr(down_stream.cross_validation, "cross_validate", small_folds)
    monkeypatch.setattr(down_stream.low_shot.grid, "run_grid", small_grid)
    labelled = down_stream.features.labelled_splits
    monkeypatch.setattr(labelled, "labelled_videos", lambda *_: ("video01", "video02"))
    monkeypatch.chdir(place)


def reason_not_to_run(words):
    line = " ".join(words)
    return next((why for part, why in NOT_RUN.items() if part in line), None)


def ours(words):
    """The part of a command from `python` on, if it is one of the project's."""
    return words[words.index("python") :] if "python" in words and "-c" not in words else None


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(page, place, tiny, monkeypatch):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in documented.commands(TEXTS[page]):
        words = [re.sub(r"=/(recordings|clinic)\b", r"=\1", word) for word in words]
        command, why = ours(words), reason_not_to_run(words)
        if words[0] == "make":
            assert words[1] in targets, words
            continue
        assert command or why, f"{page}: not known how to run: {words}"
        if command is None:
            for file in (word for word in words if word.startswith("requirements")):
                assert (ROOT / file).is_file(), words
            continue
        if not why:
            command += SMALLER.get(command[-1], [])
        output = next((word[9:] for word in command if word.startswith("--output=")), None)
        code = documented.run_command(command, monkeypatch, parse_only=bool(why))
        expected = 1 if any(part in " ".join(words) for part in DONE_IN_PART) else 0
        assert code == expected, f"{page}: {words}"
        if why or output is None or "--shard=1/2" in words:  # the last shard writes the table
            continue
        assert Path(output).exists(), f"{page}: {words}"


@pytest.mark.parametrize("page", PAGES)
def test_the_snippets_of_a_page_run(page, place, monkeypatch):
    monkeypatch.chdir(place)
    for snippet in documented.blocks(TEXTS[page], ("python",)):
        code = compile(snippet, page, "exec")
        if any(part in snippet for part in SNIPPETS_NOT_RUN):
            continue
        if "msn" in snippet and not (place / "runs/ours/encoder").exists():
            pytest.skip("needs the encoder of the README's commands")
        names = {"images": np.zeros((2, 16, 16, 3), np.uint8)}
        exec(code, names)
        if "cls" in names:
            assert names["cls"].shape[0] == 2


@pytest.mark.parametrize("page", [*PAGES, "REPRODUCE.md", ".github/CONTRIBUTING.md"])
def test_paths_and_links_of_a_page_exist(page):
    text = (ROOT / page).read_text()
    folder = (ROOT / page).parent
    for link in re.findall(r"\]\(([^)#\s]+)", text):
        assert "://" in link or (folder / link).exists(), f"{page}: {link}"
    for link in re.findall(r"\]\(([^)\s]*#[^)\s]+)", text):
        file, _, anchor = link.partition("#")
        target = (folder / file if file else ROOT / page).read_text()
        headings = re.findall(r"^#+ (.*)$", target, re.MULTILINE)
        slugs = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert "://" in link or anchor in slugs, f"{page}: {link}"
    tops = "configs|data|msn|down_stream|tests|docs"
    for path in re.findall(rf"(?<![\w/.])((?:{tops})/[\w/]*(?:\.py|/))", text):
        assert (ROOT / path).exists(), f"{page}: {path}"


def test_every_page_is_read():
    assert set(READING_ORDER) == {path.stem for path in (ROOT / "docs").glob("*.md")}


def test_the_readme_is_short():
    assert len(TEXTS["README.md"].splitlines()) <= 200
    assert "not a medical device" in TEXTS["README.md"]


@pytest.mark.parametrize(
    "command",
    [
        ["python", "prepare.py", "--data_rootdirs=x"],
        ["python", "-m", "msn.train", "--workdir=x", "--config.batchsize=3"],
    ],
)
def test_a_mistyped_command_is_noticed(command, tiny, monkeypatch):
    assert documented.run_command(command, monkeypatch, parse_only=True) == 2
