"""--shard of inference: several processes, killed or not, and the table of one."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from msn.encoders import save_encoder
from msn.networks.encoder import Encoder
from tests.support import forked_commands
from tests.support.places import ROOT
from tests.support.small_videos import write_video

# Keeps its first batch at once and never gets to the second: a kill finds a video half done.
SLOW = (
    "import sys, time, runpy; from data.batches import batches as b;"
    "from down_stream.inference import embeddings;"
    "embeddings.PART_SECONDS = 0; fetch = b._fetch; waits = iter([0, 600]);"
    "b._fetch = lambda batch: time.sleep(next(waits)) or fetch(batch);"
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "encoder"
    save_encoder(Encoder(image_size=16, patch_size=8, width=12, depth=1, num_heads=3), folder, {})
    return folder


@pytest.fixture(scope="module")
def asked(encoder, tmp_path_factory):
    """The command for five videos of different lengths, one of them broken, in two folders."""
    folder = tmp_path_factory.mktemp("videos")
    for number, frames in enumerate((50, 150, 100, 25)):
        write_video(folder / f"{'ab'[number % 2]}/op {number}.mp4", frames=frames, first=number)
    (folder / "a" / "broken.mp4").write_bytes(b"no video")
    model = f"--model_path={encoder}"
    return [model, f"--video_path={folder}", "--fps=5", "--batch_size=4"]


def call(*words):
    """By XLA, as of the processes that are killed."""
    return forked_commands.call(*words, by_xla=True)


def start_and_stay(*arguments):
    command = [sys.executable, "-c", SLOW, str(ROOT / "inference.py"), *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def until(happened):
    end = time.monotonic() + 250
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def table(path):
    with np.load(path, allow_pickle=False) as content:
        return {name: content[name] for name in content.files if name != "metadata"}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(other[name], values)


def test_killed_shards_are_made_again_and_the_last_one_writes_the_table(asked, tmp_path):
    whole = call("inference.py", *asked, f"--output={tmp_path}/whole.npz")
    assert whole.returncode == 1, whole.stderr

    output = tmp_path / "shared.npz"
    asked = [*asked, f"--output={output}"]
    parts = tmp_path / "shared.npz.parts"
    killed = start_and_stay(*asked, "--shard=1/3")
    until(lambda: list(parts.glob("*/part_*")))

    # Meanwhile nobody else makes the same videos.
    for others in ([], ["--shard=1/3"], ["--shard=2/4"]):
        refused = call("inference.py", *asked, *others)
        assert refused.returncode == 75
        assert "another run is writ" in refused.stderr or "is being made" in refused.stderr
        assert refused.stderr.count("\n") == 1

    second = call("inference.py", *asked, "--shard=2/3")
    assert "shard           2 of 3: " in second.stdout
    assert "not done yet    shard 1/3, 3/3; the last one writes the table" in second.stdout
    assert killed.poll() is None
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()

    third = call("inference.py", *asked, "--shard=3/3")
    assert third.returncode == 1 or "broken" not in third.stdout
    assert not output.exists()
    last = call("inference.py", *asked, "--shard=1/3")
    assert last.returncode == 1, last.stderr
    assert "were there" in last.stdout
    assert "broken.mp4: 8 bytes that are not a video" in last.stdout
    assert_same(table(tmp_path / "whole.npz"), table(output))
    assert not list(tmp_path.glob(".*lock"))


def test_shards_of_another_night_start_anew(asked, tmp_path):
    """Notes of shards that have seen other videos do not count."""
    videos = tmp_path / "videos"
    for name in ("x", "y"):
        write_video(videos / f"{name}.mp4", frames=30)
    asked = [asked[0], f"--video_path={videos}", f"--output={tmp_path}/nightly.npz"]
    for number in (1, 2):
        result = call("inference.py", *asked, f"--shard={number}/2")
        assert result.returncode == 0, result.stderr
    assert set(table(tmp_path / "nightly.npz")["video"]) == {"x", "y"}
    write_video(videos / "z.mp4", frames=60, first=9)
    first, second = (call("inference.py", *asked, f"--shard={number}/2") for number in (1, 2))
    assert "not done yet    shard 2/2" in first.stdout
    assert "written to" in second.stdout
    assert table(tmp_path / "nightly.npz")["video"].tolist().count("z") == 3


def test_a_video_that_comes_between_two_starts(asked, tmp_path):
    """The last one makes what the folder has then, though the first has seen another folder."""
    videos = tmp_path / "videos"
    for night, name in enumerate("xyz"):
        write_video(videos / f"{name}.mp4", frames=30, first=night)
    asked = [asked[0], f"--video_path={videos}", f"--output={tmp_path}/nightly.npz"]
    for name in "uv":
        first = call("inference.py", *asked, "--shard=1/2")
        assert "not done yet    shard 2/2" in first.stdout, first.stderr
        write_video(videos / f"{name}.mp4", frames=60, first=9)
        second = call("inference.py", *asked, "--shard=2/2")
        assert second.returncode == 0, second.stderr
        assert "shard 1/2: done with other videos than this one found" in second.stderr
        assert "written to" in second.stdout
        there = table(tmp_path / "nightly.npz")["video"]
        assert set(there) == {file.stem for file in videos.iterdir()}
    assert_same(table(tmp_path / "nightly.npz"), whole_table(asked, tmp_path))


def whole_table(asked, folder):
    """The table of one process that begins from nothing."""
    result = call("inference.py", *asked[:-1], f"--output={folder}/of_one.npz")
    assert result.returncode == 0, result.stderr
    return table(folder / "of_one.npz")


def test_a_shard_that_is_started_again_keeps_no_table_from_being_written(asked, tmp_path):
    """It is at work when the last one ends, and writes the table itself."""
    videos = tmp_path / "videos"
    for number, frames in enumerate((200, 150)):
        write_video(videos / f"{number}.mp4", frames=frames, first=number)
    asked = [asked[0], f"--video_path={videos}", "--fps=5", "--batch_size=4"]
    asked += [f"--output={tmp_path}/a.npz"]
    assert "not done yet" in call("inference.py", *asked, "--shard=1/2").stdout
    write_video(videos / "0.mp4", frames=210, first=3)  # so that it has something to do
    again = start_and_stay(*asked, "--shard=1/2")
    until(lambda: len(list((tmp_path / "a.npz.parts").glob("0-*"))) == 2)
    second = call("inference.py", *asked, "--shard=2/2")
    assert second.returncode == 0, second.stderr
    assert "not done yet    shard 1/2" in second.stdout
    assert not (tmp_path / "a.npz").exists()
    os.kill(again.pid, signal.SIGKILL)
    again.communicate()
    assert "written to" in call("inference.py", *asked, "--shard=1/2").stdout
    assert_same(table(tmp_path / "a.npz"), whole_table(asked, tmp_path))


def test_frames_of_a_dataset(encoder, small_dataset, tmp_path):
    asked = [f"--model_path={encoder}", f"--data_rootdir={small_dataset.parent}"]
    whole = call("inference.py", *asked, f"--output={tmp_path}/whole.npz")
    assert whole.returncode == 0, whole.stderr
    for number in (2, 1):
        result = call("inference.py", *asked, f"--output={tmp_path}/a.npz", f"--shard={number}/2")
        assert result.returncode == 0, result.stderr
    assert_same(table(tmp_path / "whole.npz"), table(tmp_path / "a.npz"))


def test_more_shards_than_videos(encoder, tmp_path):
    write_video(tmp_path / "a.mp4", frames=30)
    asked = [f"--model_path={encoder}", f"--video_path={tmp_path}", f"--output={tmp_path}/a.npz"]
    first, second = (call("inference.py", *asked, f"--shard={number}/2") for number in (2, 1))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "2 of 2: 0 videos" in first.stdout
    assert len(table(tmp_path / "a.npz")["video"]) == 2


def test_a_video_that_two_processes_have_written_is_made_again(asked, tmp_path):
    output = tmp_path / "a.npz"
    assert call("inference.py", *asked, f"--output={output}").returncode == 1
    before = table(output)
    part = max((tmp_path / "a.npz.parts").glob("*/part_*"), key=lambda file: file.stat().st_size)
    number = int(part.stem.removeprefix("part_"))
    part.with_stem(f"part_{number - 1:012d}").write_bytes(part.read_bytes())
    assert call("inference.py", *asked, f"--output={output}").returncode == 1
    assert_same(before, table(output))


@pytest.mark.parametrize(
    "flags, line",
    [
        (["--shard=5/4"], "--shard is '5/4'; expected I/N, as 1/4 to 4/4 for four processes"),
        (["--stream=0", "--shard=1/2"], "--shard: a stream cannot be shared"),
    ],
)
def test_shards_that_cannot_be(asked, tmp_path, flags, line):
    inputs = asked[:1] if "--stream=0" in flags else asked
    result = call("inference.py", *inputs, f"--output={tmp_path}/a.npz", *flags)
    assert result.returncode == 2
    assert line in result.stderr
    assert result.stderr.count("\n") == 1
