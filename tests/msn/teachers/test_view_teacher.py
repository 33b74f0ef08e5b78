"""A teacher that sees every anchor view: what it is asked of, in whole runs, stopped, refused."""

import os
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf

from data.common.errors import InputError
from data.common.stopping import StoppedError, ended_by_signals
from data.images.image_io import resize
from msn import encoders
from msn.networks.encoder import create_encoder
from msn.pretrain import pretrain
from msn.teachers.teacher import CONTENT_FILE
from msn.teachers.view_teacher import ViewTeacher
from msn.workdir import checkpoint_files
from tests.support import onnx_files
from tests.support.run_directories import last_state, metrics_in
from tests.support.small_msn import small_config

pytestmark = pytest.mark.usefixtures("eager")


def taught(root, teacher, **keys):
    return small_config(root, teacher=str(teacher), teacher_sees="view", **keys)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    made = create_encoder("vitnano4", image_size=24, seed=3)
    return encoders.save_encoder(made, tmp_path_factory.mktemp("teacher") / "encoder", {})


@pytest.fixture(scope="module")
def run(small_dataset, tmp_path_factory, encoder, eager):
    workdir = tmp_path_factory.mktemp("runs") / "msn"
    assert pretrain(taught(small_dataset, encoder), workdir)
    return workdir


def batches(*images):
    """Of one batch after another, from the first step."""

    def batches_from(first_step):
        return iter([{"anchor": tf.constant(views)} for views in images][first_step:])

    return batches_from


def test_it_says_of_views_what_the_encoder_says_of_them_standardised(encoder, tmp_path):
    draw = np.random.default_rng(0)
    first, second = draw.integers(0, 256, (2, 40, 16, 16, 3), dtype=np.uint8)
    teacher = ViewTeacher(encoder, {})
    assert teacher.prepare(tmp_path, batches(first, second))
    said = np.concatenate([teacher.says(None, tf.constant(views)) for views in (first, second)])
    opened = encoders.load_encoder(encoder)
    images = np.stack([resize(view, (24, 24)) for view in np.concatenate([first, second])])
    expected = opened.represent(tf.constant(images, tf.float32)).numpy()
    expected = (expected - expected.mean(axis=0)) / expected.std(axis=0)
    np.testing.assert_allclose(said, expected, atol=1e-3)
    again = ViewTeacher(encoder, {})  # in another start, mean and variance are what they were
    assert again.prepare(tmp_path, batches(second))
    np.testing.assert_array_equal(again.says(None, tf.constant(first)), said[:40])


def test_the_student_learns_what_is_said_of_its_own_views(
    small_dataset, encoder, tmp_path, monkeypatch
):
    """What is said in every step is of the batch's anchor views."""
    seen, says = [], ViewTeacher.says
    monkeypatch.setattr(
        ViewTeacher, "says", lambda self, rows, views: seen.append(views) or says(self, rows, views)
    )
    config = taught(
        small_dataset, encoder, teacher_alone=1.0, steps=8, checkpoint_every=8, log_every=1
    )
    config.optimizer.warmup_epochs = 0.0
    config.optimizer.learning_rate = 1e-2
    assert pretrain(config, tmp_path / "run")
    shape = (config.batch_size, config.views.size, config.views.size, 3)
    assert [views.shape for views in seen] == [shape] * 8
    losses = [line["teacher"] for line in metrics_in(tmp_path / "run")]
    assert losses[-1] < losses[0]


def test_a_run_that_was_stopped_ends_with_the_same_bits(run, small_dataset, encoder, tmp_path):
    workdir = shutil.copytree(run, tmp_path / "msn")
    for path in checkpoint_files.checkpoints(workdir / "checkpoints")[-2:]:
        path.unlink()
    shutil.rmtree(workdir / "encoder")
    noted = (workdir / CONTENT_FILE).read_bytes()
    assert pretrain(taught(small_dataset, encoder), workdir)
    assert (workdir / CONTENT_FILE).read_bytes() == noted
    before, after = last_state(run), last_state(workdir)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_run_does_not_go_on_with_a_teacher_that_sees_something_else(run, small_dataset, encoder):
    config = small_config(small_dataset, teacher=str(encoder))
    with pytest.raises(InputError, match="teacher_sees 'view' -> 'frame'"):
        pretrain(config, run)


def test_a_run_without_steps_asks_it_nothing(small_dataset, encoder, tmp_path):
    assert pretrain(taught(small_dataset, encoder, steps=0), tmp_path)
    assert not (tmp_path / CONTENT_FILE).exists()


def test_an_onnx_file_sees_views(small_dataset, tmp_path):
    path = onnx_files.write(tmp_path)
    assert pretrain(taught(small_dataset, path, steps=2), tmp_path / "run")
    assert np.isfinite(metrics_in(tmp_path / "run")[-1]["teacher"])


def test_a_signal_stops_it_between_two_batches_of_views(
    small_dataset, encoder, tmp_path, monkeypatch
):
    ask = ViewTeacher._ask

    def interrupted(self, views):
        os.kill(os.getpid(), signal.SIGTERM)
        return ask(self, views)

    config = taught(small_dataset, encoder, steps=2)
    with monkeypatch.context() as patched:
        patched.setattr(ViewTeacher, "_ask", interrupted)
        with pytest.raises(StoppedError, match="while the teacher was asked"), ended_by_signals(""):
            pretrain(config, tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    assert pretrain(config, tmp_path / "run")


def test_a_table_knows_no_views(small_dataset, tmp_path):
    np.savez(tmp_path / "table.npz", embeddings=np.eye(3), video=["a"] * 3, second=np.arange(3.0))
    with pytest.raises(InputError, match=r"table\.npz: a table, of whole frames, with teacher_s"):
        pretrain(taught(small_dataset, tmp_path / "table.npz"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_says_the_same_of_every_view_is_refused(tmp_path):
    made = create_encoder("vitnano4", image_size=24, seed=3)
    made.set_weights([np.zeros_like(weight) for weight in made.get_weights()])
    path = encoders.save_encoder(made, tmp_path / "encoder", {})
    views = np.random.default_rng(0).integers(0, 256, (6, 24, 24, 3), dtype=np.uint8)
    with pytest.raises(InputError, match=r"^teacher=.*are the same for all 6 views"):
        ViewTeacher(path, {}).prepare(tmp_path, batches(views))


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"teacher": None}, "teacher_sees is view without a teacher"),
        ({"teacher_sees": "crop"}, "teacher_sees"),
    ],
)
def test_what_it_may_see_is_checked(small_dataset, encoder, tmp_path, changes, named):
    keys = {"teacher": str(encoder), "teacher_sees": "view"} | changes
    with pytest.raises(InputError, match=named):
        pretrain(small_config(small_dataset, **keys), tmp_path / "run")
    assert not (tmp_path / "run").exists()
