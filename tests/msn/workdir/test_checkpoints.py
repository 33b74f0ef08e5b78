import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from data.common.errors import InputError
from msn import encoders
from msn.method.model import MSN
from msn.networks.encoder import Encoder
from msn.workdir import checkpoint_files, checkpoints
from tests.support.places import GOLDEN

TINY = {"image_size": 16, "patch_size": 4, "width": 12, "depth": 2, "num_heads": 3}
IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)


def create(seed=0, teacher_width=None, **arguments):
    sizes = {"hidden_dim": 16, "output_dim": 8, "num_prototypes": 6}
    return MSN(TINY | arguments, **sizes, teacher_width=teacher_width, seed=seed)


@pytest.fixture(scope="module")
def encoder_dir(tmp_path_factory):
    encoder = Encoder(**TINY, gelu="tanh", seed=3)
    path = tmp_path_factory.mktemp("run") / "encoder"
    return encoder, encoders.save_encoder(encoder, path, {"step": 7})


def test_a_checkpoint_carries_every_variable(tmp_path):
    """Set and compared by the networks' own lists: one that is not saved is found out."""
    # The batch norms of a stem have running statistics; a teacher has a head.
    for arguments in ({}, {"stem_channels": (5, 7)}, {"teacher_width": 5}):
        model, other = create(seed=1, **arguments), create(seed=2, **arguments)
        for number, variable in enumerate(all_variables(model).values()):
            value = np.random.default_rng(number).normal(size=variable.shape) * 10 + 20
            variable.assign(value.astype(keras.backend.standardize_dtype(variable.dtype)))
        before = {name: np.array(value) for name, value in all_variables(other).items()}
        path = checkpoints.save_checkpoint(tmp_path, model, 12, keep=2)
        assert checkpoints.restore_checkpoint(path, other) == (12, ())
        restored = all_variables(other)
        for name, variable in all_variables(model).items():
            assert not np.array_equal(before[name], variable), name
            np.testing.assert_array_equal(restored[name], variable, name)
        assert len(restored) == len(checkpoints.run_state(other))


def all_variables(model):
    """Every variable of a run by a name of its own."""
    parts = ("anchor_encoder", "anchor_head", "target_encoder", "target_head", "teacher_head")
    lists = {part: getattr(model, part).weights for part in parts if getattr(model, part)}
    lists |= {name: getattr(model.optimizer, name) for name in ("first", "second")}
    lists |= {"prototypes": [model.prototypes], "steps": [model.optimizer.steps]}
    return {f"{name} {place}": v for name, part in lists.items() for place, v in enumerate(part)}


def test_old_checkpoints_go(tmp_path):
    model = create()
    for step in (5, 10, 15):
        checkpoints.save_checkpoint(tmp_path, model, step, keep=2)
    names = [path.name for path in checkpoint_files.checkpoints(tmp_path)]
    assert names == ["step_00000010.safetensors", "step_00000015.safetensors"]
    assert len(list(tmp_path.iterdir())) == 2


def test_every_kth_stays_and_what_is_ahead_goes(tmp_path):
    model = create()
    for step in (5, 10, 15, 20, 25):
        checkpoints.save_checkpoint(tmp_path, model, step, keep=1, keep_every=10)
    steps = [checkpoint_files.step_of(path) for path in checkpoint_files.checkpoints(tmp_path)]
    assert steps == [10, 20, 25]
    # The run goes on from step 10, as when the others were damaged: these must not count as newest.
    checkpoints.save_checkpoint(tmp_path, model, 13, keep=1, keep_every=10)
    steps = [checkpoint_files.step_of(path) for path in checkpoint_files.checkpoints(tmp_path)]
    assert steps == [10, 13]


def test_skipped_steps_are_kept(tmp_path):
    model = create()
    path = checkpoints.save_checkpoint(tmp_path, model, 5, keep=1, skipped=(2, 4))
    assert checkpoints.restore_checkpoint(path, model) == (5, (2, 4))
    path = checkpoints.save_checkpoint(tmp_path, model, 6, keep=1)
    assert checkpoints.restore_checkpoint(path, model) == (6, ())


def test_damaged_and_foreign_checkpoints_are_refused_and_nothing_is_set(tmp_path):
    path = checkpoints.save_checkpoint(tmp_path, create(seed=1), 5, keep=2)
    model = create(seed=2)
    before = [np.array(v) for v in checkpoints.run_state(model).values()]
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"x" * 100):
        path.write_bytes(content)
        with pytest.raises(InputError, match="step_00000005"):
            checkpoints.restore_checkpoint(path, model)
    path.write_bytes(whole)
    with pytest.raises(InputError, match="another model"):
        checkpoints.restore_checkpoint(path, create(width=24))
    after = checkpoints.run_state(model).values()
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_an_encoder_directory_opens_as_it_was(encoder_dir):
    encoder, path = encoder_dir
    opened = encoders.load_encoder(path)
    assert opened.get_config() == encoder.get_config()
    assert len(opened.trainable_variables) == len(encoder.trainable_variables) > 0
    for ours, theirs in zip(opened(IMAGES), encoder(IMAGES), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    description = json.loads((path / "encoder.json").read_text())
    assert description["source"] == {"step": 7}
    assert description["preprocessing"]["image_size"] == 16


def test_the_saved_model_keeps_the_contract(encoder_dir):
    """model(x)[1] is the representation; x are raw pixels, any batch size."""
    encoder, path = encoder_dir
    model = tf.saved_model.load(str(path / "saved_model"))
    for images in (IMAGES, IMAGES[:1]):
        tokens, cls = model(tf.constant(images))
        assert tokens.shape == (len(images), 17, 12)
        np.testing.assert_allclose(cls, encoder(images)[1], atol=1e-5)


def test_writing_again_replaces(encoder_dir, tmp_path):
    encoder, _ = encoder_dir
    path = encoders.save_encoder(Encoder(**TINY, seed=9), tmp_path / "encoder", {})
    (path / "left over").write_text("x")
    encoders.save_encoder(encoder, path, {})
    assert not (path / "left over").exists()
    np.testing.assert_array_equal(encoders.load_encoder(path)(IMAGES)[1], encoder(IMAGES)[1])
    assert [entry.name for entry in tmp_path.iterdir()] == ["encoder"]


def test_a_full_disk_leaves_the_encoder_that_was_there(encoder_dir, small_disk):
    """Really full: what HDF5 makes of that would end the process."""
    path = shutil.copytree(encoder_dir[1], small_disk / "encoder")
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free - 50_000))
    other = Encoder(**TINY, seed=9)
    with pytest.raises(InputError, match=r"encoder: .*cannot be written .*No space left"):
        encoders.save_encoder(other, path, {})
    assert sorted(entry.name for entry in small_disk.iterdir()) == ["ballast", "encoder"]
    opened = encoders.load_encoder(path)
    np.testing.assert_array_equal(opened(IMAGES)[1], encoder_dir[0](IMAGES)[1])
    (small_disk / "ballast").unlink()
    encoders.save_encoder(other, path, {})
    np.testing.assert_array_equal(encoders.load_encoder(path)(IMAGES)[1], other(IMAGES)[1])


def test_what_is_no_encoder_is_said(encoder_dir, tmp_path):
    with pytest.raises(InputError, match="no such"):
        encoders.load_encoder(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="found: nothing"):
        encoders.load_encoder(tmp_path / "empty")
    for run, inner in (("run", "encoder"), ("experiment", "model/encoder")):
        shutil.copytree(encoder_dir[1], tmp_path / run / inner)
        (tmp_path / run / "config.json").write_text("{}")
        with pytest.raises(InputError, match=f"expected .*/{run}/{inner.split('/')[0]}$"):
            encoders.load_encoder(tmp_path / run)
    for name, content in (
        ("encoder.weights.h5", b"x"),
        ("encoder.json", b"{}"),
        ("encoder.json", b"["),
    ):
        copy = shutil.copytree(encoder_dir[1], tmp_path / "copy", dirs_exist_ok=True)
        (copy / name).write_bytes(content)
        with pytest.raises(InputError, match="damaged"):
            encoders.load_encoder(copy)


def test_another_rule_of_resizing_is_refused(encoder_dir, tmp_path):
    """Its embeddings would be others than those it was trained with, and nobody would see."""
    copy = shutil.copytree(encoder_dir[1], tmp_path / "copy")
    description = json.loads((copy / "encoder.json").read_text())
    description["preprocessing"]["resize"] = "centre crop"
    (copy / "encoder.json").write_text(json.dumps(description))
    with pytest.raises(InputError, match=r"resized by 'centre crop'; .*whole frame to a"):
        encoders.load_encoder(copy)


FILES = ("endossl-released/checkpoint_0", "msn-reference.pth.tar", "hf-vit-msn/model.safetensors")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.9999])
def test_truncated_files_are_named(tmp_path, name, share):
    whole = (GOLDEN / name).read_bytes()
    (tmp_path / "truncated").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match="truncated: ") as refusal:
        encoders.load_encoder(tmp_path / "truncated")
    assert "\n" not in str(refusal.value)


def test_unknown_files_are_described(tmp_path):
    for content in (b"", b"hello", b"\x89PNG\r\n\x1a\n" * 100):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(InputError, match=f"file: {len(content)} bytes of an unknown format"):
            encoders.load_encoder(tmp_path / "file")


def test_heads_that_are_not_the_files_are_refused():
    path = GOLDEN / "endossl-released" / "checkpoint_0"
    heads = encoders.load_encoder(path).backbone.num_heads
    assert encoders.load_encoder(path, num_heads=heads).backbone.num_heads == heads
    with pytest.raises(InputError, match=f"checkpoint_0: has {heads} heads"):
        encoders.load_encoder(path, num_heads=heads + 1)


def test_heads_of_the_reference_have_to_be_given():
    path = GOLDEN / "msn-reference.pth.tar"
    for num_heads, named in ((None, "num_heads"), (1000, "1000"), (0, "0")):
        with pytest.raises(InputError, match=f"pth.tar: .*{named}"):
            encoders.load_encoder(path, num_heads=num_heads)
