"""Names of videos in tables: whichever folder was passed, and as it grows."""

import shutil

import numpy as np
import pytest

from data.frames.listing import list_videos
from down_stream.inference import embeddings
from down_stream.inference.parts.video_parts import known_names
from msn.encoders import save_encoder
from msn.networks.encoder import Encoder
from tests.support.encoded_videos import encode
from tests.support.small_videos import write_video

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    encoder = Encoder(image_size=16, patch_size=8, width=12, depth=1, num_heads=3, seed=5)
    return save_encoder(encoder, tmp_path_factory.mktemp("names") / "encoder", {})


def night(model, output, *folders, **options):
    frames = list_videos(folders, known=known_names(output))
    result = embeddings.embed(model, frames, output, embeddings.Options(**options))
    with np.load(output) as table:
        return sorted(set(table["video"].tolist())), result


def test_names_stay_while_the_folder_grows_and_files_move(model, tmp_path):
    folder, output = tmp_path / "in", tmp_path / "all.npz"
    first = write_video(folder / "day 1" / "left.mp4", frames=50)
    for passed in (folder, folder / "day 1"):
        assert night(model, tmp_path / f"{passed.name}.npz", passed)[0] == ["left"]
    assert night(model, output, folder)[1].new == ["left"]
    write_video(folder / "day 2" / "left.mp4", frames=75)
    names, result = night(model, output, folder)
    assert (names, result.new, result.changed) == (["day 2_left", "left"], ["day 2_left"], [])
    (folder / "done").mkdir()
    first.rename(folder / "done" / "left.mp4")
    names, result = night(model, output, folder)
    assert (names, result.new, result.gone) == (["day 2_left", "left"], [], [])
    write_video(folder / "day 1" / "left.mp4", frames=100)
    names, result = night(model, output, folder)
    assert names == ["day 1_left", "day 2_left", "left"] and result.new == ["day 1_left"]


def test_a_table_of_before_keeps_its_names(model, tmp_path):
    """Earlier versions named by the place below the folder that was passed."""
    folder, output = tmp_path / "in", tmp_path / "all.npz"
    file = write_video(folder / "day 1" / "left.mp4", frames=50)
    frames = list_videos([folder])
    frames.videos = ("day 1_left",)
    frames._states = {"day 1_left": frames._states["left"]}
    embeddings.embed(model, frames, output, embeddings.Options())
    names, result = night(model, output, folder)
    assert (names, result.new, result.changed) == (["day 1_left"], [], []), file


def test_a_damaged_recording_that_is_mended_and_moved_keeps_its_name(model, tmp_path):
    """Known by its first bytes, as prepare.py knows it."""
    folder, output = tmp_path / "in", tmp_path / "all.npz"
    folder.mkdir()
    chance = np.random.default_rng(0)

    def noise(number):
        return chance.integers(0, 256, (96, 128, 3), np.uint8)

    whole = encode(tmp_path / "whole.mkv", "mjpeg", 150, draw=noise)
    encode(folder / "sound.mkv", "mjpeg", 50, draw=noise)
    content = whole.read_bytes()
    (folder / "op.mkv").write_bytes(content[: 2 * len(content) // 3])
    names, result = night(model, output, folder)
    assert names == ["op", "sound"] and len(result.faults) == 1
    (folder / "op.mkv").unlink()
    (folder / "done").mkdir()
    shutil.copy(whole, folder / "done" / "mended.mkv")
    names, result = night(model, output, folder)
    assert (names, result.new, result.changed) == (["op", "sound"], [], ["op"])
    assert (result.gone, result.faults) == ([], [])
