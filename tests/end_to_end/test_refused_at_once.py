"""To import TensorFlow takes several seconds: what can be refused without it is."""

import pytest

from tests.support.forked_commands import call

TRAIN = ["-m", "msn.train", "--config=configs/msn_demo.py", "--workdir=OUT"]
DEMO = ["down_stream/main.py", "--config=configs/phase_demo.py", "--workdir=OUT"]
DATA = "--config.data.root=DATA"
PROBE = [*DEMO, "--config.encoder=ENCODER", "--config.train_videos=('video01',)"]
PROBE += ["--config.validation_videos=('video02',)", "--config.test_videos=('video03',)"]
PROBED, VIDEOS = [*PROBE, DATA], PROBE[4:]
COMPARISON = ["down_stream/main.py", "--config=configs/encoder_comparison.py", "--workdir=OUT"]
LOW_SHOT = ["down_stream/main.py", "--config=configs/phase_low_shot.py", "--workdir=OUT"]
EMBED = ["inference.py", "--model_path=ENCODER", "--image_path=DATA/frames", "--output=OUT/e.npz"]
STREAM = ["inference.py", "--model_path=tests/earlier_version/probe/model"]
CONVERT = ["-m", "msn.convert", "--output=OUT"]
PREPARE = ["prepare.py", "--data_rootdir=OUT", "--synthetic"]
OWN = ["prepare.py", "--data_rootdir=OUT", "--name=own", "--videos=DATA"]
SELECT = ["-m", "down_stream.select", "--output=OUT/s.csv"]
CONTENTS = ["-m", "down_stream.contents", "--output=OUT"]
VIEWS = ["-m", "data.views", "--data_rootdir=DATA/.."]
TUNED = "--config.modes=('finetune',)"
MISSING = "/nonexistent: no such dataset directory"
NO_ENCODER = "/nonexistent: no such file or directory"
UNKNOWN = "TEXT: 6 bytes of an unknown format"


@pytest.mark.parametrize(
    "command, argument, named",
    [
        (TRAIN, "--config.views.size=65", "views.size is 65; expected a multiple of vitmicro8's"),
        (TRAIN, "--config.optimizer.learning_rate=-1.0", "optimizer.learning_rate is -1.0"),
        (TRAIN, "--config.data.root=/nonexistent", MISSING),
        (DEMO, "--config.data.root=/nonexistent", MISSING),
        (PROBE, "--config.data.root=EMPTY", "EMPTY: no index.parquet in it"),
        (PROBED, "--config.mode=magic", "mode is 'magic'; expected probe"),
        (PROBED, "--config.features=magic", "features is 'magic'"),
        (PROBED, "--config.label_smoothing=2.0", "label_smoothing is 2.0"),
        (PROBED, "--config.epochs=0", "epochs is 0"),
        (PROBED, "--config.probe.learning_rates=(-1.0,)", "probe.learning_rates is -1.0"),
        (PROBED, "--config.folds=9", "folds is 9; expected 2 to 3"),
        (PROBED, "--config.test_videos=('nope',)", "test_videos: no such video: nope; the"),
        (
            [*PROBE, DATA],
            "--config.test_videos=('video01',)",
            "video01: in train_videos and in test_",
        ),
        (
            [*PROBE, DATA],
            "--config.train_videos=('x*',)",
            "train_videos: no video has a name like x*",
        ),
        (PROBED, "--config.task=magic", "task is 'magic'"),
        (SELECT, "--embeddings=/nonexistent.npz", "/nonexistent.npz: no such"),
        (CONTENTS, "--embeddings=TEXT", "TEXT: expected a table"),
        (EMBED, "--annotations=s3://b/c", "--annotations=s3://b/c: is remote; expected a local"),
        (OWN, "--annotations=s3://b/c", "--annotations=s3://b/c: is remote; expected a local"),
        (PROBED, "--config.encoder=/nonexistent", NO_ENCODER),
        (PROBED, "--config.encoder=TEXT", UNKNOWN),
        (PROBED, "--config.encoder=EMPTY/f.npz", "EMPTY/f.npz: no such file"),
        (PROBED, "--workdir=TEXT", "workdir=TEXT: TEXT is a file"),
        (
            [*DEMO, "--config.encoder="],
            "--config.model.variant=vits17",
            "image_size is 224; expected a multiple",
        ),
        (COMPARISON, "--config.modes=('magic',)", "modes is 'magic'"),
        (COMPARISON, "--config.settings.finetune.epochs=0", "cells of msn, finetune: epochs is 0"),
        ([*COMPARISON, TUNED], "--config.epochs=0", "cells of msn, finetune: epochs is 0"),
        ([*COMPARISON, TUNED], "--optimizer=magic", "flag --optimizer=magic: value should be"),
        (COMPARISON, "--config.baseline=magic", "baseline is 'magic'"),
        (
            [*COMPARISON, DATA, *VIDEOS],
            "--config.encoders=(('a','/nonexistent'),('random',''),('b','TEXT'))",
            f"encoders: 2 cannot be used: a: {NO_ENCODER}; pre-training writes encoder/; b: TEXT",
        ),
        (LOW_SHOT, "--config.batch_size=0", "cells of msn: batch_size is 0"),
        (LOW_SHOT, "--config.folds=2", "folds is 2 in a low-shot grid"),
        (EMBED, "--model_path=/nonexistent", NO_ENCODER),
        (EMBED, "--model_path=TEXT", UNKNOWN),
        (EMBED, "--output=OUT/e.txt", "OUT/e.txt: expected a name that ends in .npz"),
        (EMBED, "--output=/proc/fair/e.npz", "no such file or directory: /proc/fair"),
        (EMBED, "--output=TEXT/e.npz", "output=TEXT: TEXT is a file"),
        (EMBED, "--map=OUT/map.txt", "--map=OUT/map.txt: expected the name of a file"),
        ([*EMBED, "--features=cls"], "--layers=2", "features is 'cls' besides layers or tokens"),
        (EMBED, "--layers=0", "layers=0: expected 1 or more"),
        ([*EMBED, "--image_path="], "--video_path=/nonexistent", "/nonexistent: no such video or"),
        (
            [*EMBED, "--image_path=", "--fps=0"],
            "--video_path=DATA",
            "fps=0.0: expected 0.001 to 1000",
        ),
        (STREAM, "--stream=/nonexistent.mp4", "/nonexistent.mp4: no such video"),
        ([*STREAM, "--model_path=ENCODER"], "--stream=0", "ENCODER: not a model of phases"),
        (CONVERT, "--source=/nonexistent", NO_ENCODER),
        (CONVERT, "--source=TEXT", UNKNOWN),
        ([*CONVERT, "--output=EMPTY"], "--source=ENCODER", "EMPTY: exists already"),
        ([*CONVERT, "--image_path=x"], "--source=ENCODER", "--image_path: without effect"),
        (PREPARE, "--size=-4", "size=-4: expected 1 or more"),
        (PREPARE, "--data_rootdir=/proc/fair", "no such file or directory: /proc/fair"),
        (["-m", "msn.curves"], "EMPTY", "EMPTY: not a run of msn.train"),
        (["-m", "down_stream.compare"], "/nonexistent", "/nonexistent: no such folder"),
        (VIEWS, "--config.views.size=65", "views.size is 65; expected a multiple of the patch"),
    ],
)
def test_without_tensorflow(tmp_path, small_dataset, command, argument, named):
    """Neither TensorFlow nor what else takes a second: scikit-learn, SciPy's statistics."""
    for name in ("tensorflow", "keras", "sklearn"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name} imported')")
    (tmp_path / "text").write_text("hello\n")
    (tmp_path / "empty").mkdir()
    places = {
        "OUT": tmp_path / "run",
        "DATA": small_dataset,
        "TEXT": tmp_path / "text",
        "EMPTY": tmp_path / "empty",
        "ENCODER": "tests/earlier_version/msn/encoder",
    }

    def placed(text):
        for word, path in places.items():
            text = text.replace(word, str(path))
        return text

    result = call(*map(placed, [*command, argument]), stand_ins=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {placed(named)}")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
