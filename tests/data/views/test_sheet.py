import dataclasses

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.frame_index import load_index
from data.frames.image_frames import ImageFrames
from data.views.image_ops import resample
from data.views.masking import kept_patches
from data.views.multi_crop import Views, make_views
from data.views.sheet import HEIGHT, MASKED, draw_sheet, mask_patches, view_boxes
from tests.data.views.test_multi_crop import picture
from tests.support.forked_commands import call
from tests.support.small_dataset import make_small_dataset

VIEWS = Views(size=32, focal_size=16, focal_views=3)
UNCHANGED = dataclasses.replace(
    VIEWS, flip_probability=0, jitter_probability=0, grey_probability=0, blur_probability=0
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_small_dataset(tmp_path_factory.mktemp("datasets") / "cholec80", videos=2)


def cut(image, box, size):
    left, top, width, height = box
    return resample(image[top : top + height, left : left + width], size)


def contains(sheet, view):
    """Whether a view is on the sheet, pixel by pixel."""
    height, width = view.shape[:2]
    corners = sheet[: len(sheet) - height + 1, : sheet.shape[1] - width + 1] == view[0, 0]
    places = np.argwhere(corners.all(axis=-1))
    return any(np.array_equal(sheet[y : y + height, x : x + width], view) for y, x in places)


def test_boxes_are_where_the_views_were_cut_out():
    image = picture()
    boxes = view_boxes(image.shape[:2], UNCHANGED, seed=3, step=2, example=1)
    drawn = make_views(image, UNCHANGED, seed=3, step=2, example=1)
    for view in ("target", "anchor"):
        np.testing.assert_array_equal(cut(image, boxes[view], 32), drawn[view])
    for box, view in zip(boxes["focal"], drawn["focal"], strict=True):
        np.testing.assert_array_equal(cut(image, box, 16), view)


def test_masked_patches_are_those_that_are_not_kept():
    view = np.full((32, 32, 3), 200, np.uint8)
    kept = kept_patches(16, 0.3, seed=0, step=0)
    masked = (mask_patches(view, kept, patch_size=8) == MASKED).all(axis=-1)
    of_patch = masked.reshape(4, 8, 4, 8).mean(axis=(1, 3)).ravel()
    assert set(np.flatnonzero(of_patch == 0)) == set(kept)
    assert (of_patch == 1).sum() == 16 - len(kept)


def test_the_sheet_shows_the_views_of_its_frames(root):
    source = ImageFrames(load_index(root))
    views = dataclasses.replace(VIEWS, size=HEIGHT, focal_size=96)
    sheet = draw_sheet(source, views, patch_drop=0.15, patch_size=16, frames=2, seed=0)
    row, other = sorted(np.random.default_rng(0).choice(len(source), 2, replace=False))
    for example, place in enumerate((row, other)):
        drawn = make_views(source.read(int(place)), views, 0, 0, example)
        kept = kept_patches(14**2, 0.15, 0, 0)
        assert contains(sheet, drawn["target"])
        assert contains(sheet, mask_patches(drawn["anchor"], kept, 16))
        assert not contains(sheet, drawn["anchor"])
        assert contains(sheet, drawn["focal"][2][20:])  # its number is above


def test_unreadable_frames_are_left_out(root, tmp_path, caplog):
    copy = make_small_dataset(tmp_path / "broken", videos=1, seconds=3)
    files = sorted((copy / "frames").rglob("*.png"))
    source = ImageFrames(load_index(copy))
    whole = draw_sheet(source, VIEWS, 0.15, 8, frames=3, seed=0)
    files[1].write_bytes(b"")
    assert len(draw_sheet(source, VIEWS, 0.15, 8, frames=3, seed=0)) < len(whole)
    assert files[1].name in caplog.text
    for file in files:
        file.write_bytes(b"")
    with pytest.raises(InputError, match="none of 3 frames"):
        draw_sheet(source, VIEWS, 0.15, 8, frames=3, seed=0)


def run(*arguments):
    return call("-m", "data.views", *arguments)


def test_command_writes_a_picture(root, tmp_path):
    output = tmp_path / "views.png"
    done = run(f"--data_rootdir={root.parent}", f"--output={output}", "--frames=2")
    assert (done.returncode, done.stderr) == (0, "")
    sheet = cv2.imread(str(output))
    assert sheet.shape[0] > 2 * HEIGHT
    assert sheet.shape[1] > 4 * HEIGHT


@pytest.mark.parametrize(
    "wrong, said",
    [
        (["--output=views.pdf"], ".png or .jpg"),
        (["--config.model.variant=vits"], "model.variant is 'vits'"),
        (["--config.init=encoder"], "expected its patch size, as --config.init_patch_size=16"),
        (["--config.init=encoder", "--config.init_patch_size=15"], "the patch size, 15"),
        (["--config.patch_drop=2.0"], "patch_drop is 2"),
        (["--frames=0"], "--frames is 0"),
        (["--name=none"], "no such dataset directory"),
        (["--config.views.size=100"], "multiple of the patch size, 16"),
    ],
)
def test_wrong_input_is_one_line(root, tmp_path, wrong, said):
    arguments = [f"--data_rootdir={root.parent}", f"--output={tmp_path}/views.png", *wrong]
    done = run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
