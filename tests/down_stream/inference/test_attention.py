from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from data.batches.read_ahead import InputFrame
from data.common.errors import InputError
from data.frames.listing import list_images, list_videos
from down_stream.features.extraction import frame_outputs
from down_stream.inference.attention import (
    CAPTION,
    COLUMNS,
    HEIGHT,
    MARGIN,
    AttentionPictures,
    check_folder,
    remove_leftovers,
)
from msn.networks.encoder import Encoder
from tests.support.small_videos import write_video

WIDTH = 2 * HEIGHT  # of a panel, at an aspect of 2


def panel(image, place):
    """The inside of one panel of a picture."""
    row, column = divmod(place, COLUMNS)
    top = row * (HEIGHT + CAPTION + MARGIN) + CAPTION
    left = column * (WIDTH + 2 * MARGIN) + MARGIN
    return image[top : top + HEIGHT, left : left + WIDTH]


def draw(folder, frames, rows, attention, threads=1):
    grey = np.full((32, 32, 3), 100, np.uint8)
    with ThreadPoolExecutor(threads) as pool:
        pictures = AttentionPictures(folder, frames, pool)
        pictures.draw([InputFrame(row, grey, 2.0) for row in rows], attention)
        pictures.wait()


def test_a_panel_shows_where_each_head_looks(tmp_path):
    """Two heads, each with one bright corner; the mean has both."""
    assert cv2.imwrite(str(tmp_path / "op_1.png"), np.zeros((8, 16, 3), np.uint8))
    attention = np.zeros((1, 2, 16), np.float32)
    attention[0, 0, 0] = attention[0, 1, 15] = 1
    draw(tmp_path / "out", list_images(tmp_path / "op_1.png"), [0], attention)
    image = cv2.imread(str(tmp_path / "out" / "op" / "op_1.png"))
    assert (panel(image, 0) == 100).all()
    for place, corners in ((1, {"first", "last"}), (2, {"first"}), (3, {"last"})):
        inside = panel(image, place)
        found = {"first": inside[20, 40].mean(), "last": inside[-20, -40].mean()}
        assert {name for name, value in found.items() if value > 100} == corners, found


def test_the_size_of_all_pictures_is_said_once(tmp_path, caplog):
    caplog.set_level("INFO")
    for number in range(3):
        assert cv2.imwrite(str(tmp_path / f"op_{number}.png"), np.zeros((8, 16, 3), np.uint8))
    draw(tmp_path / "out", list_images(tmp_path), range(3), np.ones((3, 1, 4), np.float32), 3)
    size = sum(file.stat().st_size for file in (tmp_path / "out" / "op").iterdir())
    (line,) = (record.getMessage() for record in caplog.records)
    assert line == f"{tmp_path}/out: 3 pictures, about {size / 1e6:.0f} MB in all"


def test_frames_of_videos_are_numbered_as_extraction_does(tmp_path):
    files = [write_video(tmp_path / f"op{n}.mp4", frames=60) for n in (1, 2)]
    frames = list_videos(files)
    draw(tmp_path / "out", frames, [0, 5], np.ones((2, 1, 4), np.float32))
    names = [str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.png")]
    assert sorted(names) == ["op1/op1_000001.png", "op2/op2_000003.png"]


def test_pictures_of_what_is_gone_or_shorter_go_and_nothing_else(tmp_path):
    files = [write_video(tmp_path / f"op{n}.mp4", frames=100) for n in (1, 2, 3)]
    frames, out = list_videos(files), tmp_path / "out"
    draw(out, frames, range(12), np.ones((12, 1, 4), np.float32))
    for name in ("op1/notes.png", "op2/op2_other.png"):
        (out / name).write_bytes(b"somebody's")
    shorter = list_videos([files[0], write_video(tmp_path / "op2.mp4", frames=50)])
    remove_leftovers(out, shorter, ["op3"], ["op2"])
    left = sorted(str(file.relative_to(out)) for file in out.rglob("*.png"))
    assert left == [
        *(f"op1/{name}.png" for name in ("notes", *(f"op1_{n:06d}" for n in range(1, 5)))),
        *(f"op2/{name}.png" for name in ("op2_000001", "op2_000002", "op2_other")),
    ]
    assert not (out / "op3").exists()


def test_no_picture_replaces_that_of_another_file(tmp_path):
    files = [tmp_path / name for name in ("op_1.jpg", "op_1.png", "op_2.bmp")]
    for file in files:
        assert cv2.imwrite(str(file), np.zeros((8, 16, 3), np.uint8))
    draw(tmp_path / "out", list_images(tmp_path), range(3), np.ones((3, 1, 4), np.float32))
    names = [file.name for file in (tmp_path / "out" / "op").iterdir()]
    assert sorted(names) == ["op_1.jpg.png", "op_1.png", "op_2.bmp.png"]


def test_a_file_may_be_listed_twice(tmp_path):
    assert cv2.imwrite(str(tmp_path / "op_1.png"), np.zeros((8, 16, 3), np.uint8))
    (tmp_path / "list.txt").write_text("op_1.png\n" * 40)
    frames = list_images(tmp_path / "list.txt")
    draw(tmp_path / "out", frames, range(40), np.ones((40, 1, 4), np.float32), threads=4)
    assert [file.name for file in (tmp_path / "out" / "op").iterdir()] == ["op_1.png"]


@pytest.mark.parametrize("place", ["data", "data/frames", "data/frames/op/more"])
def test_pictures_in_a_dataset_are_refused(tmp_path, place):
    write_video(tmp_path / "op.mp4", frames=50)
    frames = list_videos([tmp_path / "op.mp4"])
    (tmp_path / "data/frames/op").mkdir(parents=True)
    (tmp_path / "data/index.parquet").write_bytes(b"")
    with pytest.raises(InputError, match=rf"attention=.*{place}: is in the dataset .*/data; exp"):
        check_folder(tmp_path / place, frames)
    check_folder(tmp_path / "attention", frames)
    check_folder(tmp_path / "data_of_others", frames)


def test_pictures_where_the_frames_are_are_refused(tmp_path):
    for name in ("in/op_1.png", "in/deep/op_2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(tmp_path / name), np.zeros((8, 16, 3), np.uint8))
    (tmp_path / "link").symlink_to("in")
    frames = list_images(tmp_path / "in")
    for place in ("in", "in/deep", "link", "."):
        with pytest.raises(InputError, match=r"op_[12]\.png is read there; expected another"):
            check_folder(tmp_path / place, frames)
    check_folder(tmp_path / "in" / "attention", frames)


def test_what_cannot_be_written_is_raised(tmp_path):
    assert cv2.imwrite(str(tmp_path / "op_1.png"), np.zeros((8, 16, 3), np.uint8))
    (tmp_path / "out").write_text("x")
    with pytest.raises(OSError, match="out"):
        draw(tmp_path / "out", list_images(tmp_path / "op_1.png"), [0], np.ones((1, 1, 4)))


def test_attention_is_that_of_the_encoder():
    encoder = Encoder(image_size=16, patch_size=8, width=12, depth=2, num_heads=3, seed=0)
    images = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 3), np.uint8)
    found = frame_outputs(encoder, attention=True)(images)["attention"]
    expected = encoder.backbone.last_attention(encoder.preprocess(images))[:, :, 0, 1:]
    assert found.shape == (3, 3, 4)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_saved_model_has_no_attention():
    class Frozen:
        directory, kind = "released", "a SavedModel"

    for options in ({"attention": True}, {"layers": 2}):
        with pytest.raises(
            InputError, match="released: a SavedModel gives neither the tokens of several"
        ):
            frame_outputs(Frozen(), **options)
