"""The command, as people call it: what it prints, what it writes, how it exits."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from data.dataset.cholec80 import PHASES
from down_stream.classifiers.frame_model import FrameModel, save_frame_model
from msn.encoders import save_encoder
from msn.networks.encoder import Encoder
from tests.support.forked_commands import call
from tests.support.places import ROOT
from tests.support.small_dicoms import JPEG, jpegs, write_dicom
from tests.support.small_videos import write_video


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    encoder = Encoder(image_size=16, patch_size=8, width=12, depth=2, num_heads=3, seed=5)
    save_encoder(encoder, folder / "encoder", {})
    save_frame_model(FrameModel(encoder, PHASES, seed=0), folder / "model", {})
    return folder


def test_videos_with_everything(models, tmp_path):
    for name in ("a", "b"):
        write_video(tmp_path / "videos" / f"{name}.mp4", frames=130)
    (tmp_path / "videos" / "c.mp4").write_bytes(b"no video")
    (tmp_path / "videos" / "notes.txt").write_text("x")
    result = call(
        "inference.py",
        f"--model_path={models / 'model'}",
        f"--video_path={tmp_path / 'videos'}",
        "--fps=2",
        "--layers=2",
        "--tokens=mean",
        f"--attention={tmp_path / 'attention'}",
        f"--map={tmp_path / 'map.html'}",
        cwd=tmp_path,
    )
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert "float32 [22, 24]" in result.stdout
    assert "images/s" in result.stdout
    assert "network " in result.stdout
    assert "passed over     1 files" in result.stdout
    assert "c.mp4: 8 bytes that are not a video" in result.stdout.splitlines()[-1]
    with np.load(tmp_path / "embeddings.npz", allow_pickle=False) as table:
        assert table["embeddings"].shape == (22, 24)
        assert table["video"].tolist() == ["a"] * 11 + ["b"] * 11
        assert table["second"].tolist() == [n / 2 for n in range(11)] * 2
        assert table["probabilities"].shape == (22, 7)
    assert sorted(file.name for file in (tmp_path / "embeddings_phases").iterdir()) == [
        *("a.csv", "a.png", "b.csv", "b.png")
    ]
    assert len(list((tmp_path / "attention").glob("[ab]/*.png"))) == 22
    assert (tmp_path / "map.html").stat().st_size > 20_000


@pytest.mark.parametrize("is_listed", [False, True])
def test_operations_in_parts_give_the_table_of_the_dataset(models, tmp_path, is_listed):
    """To the bit, where frames are kept as PNG."""
    recordings, listed = tmp_path / "in", tmp_path / "operations.csv"
    for part in (1, 2):
        write_video(recordings / f"op_part{part}.mp4", frames=70, first=70 * part)
    write_dicom(recordings / "dicom", jpegs(25), JPEG, 25, CineRate=10)
    listed.write_text("file,operation,order\nop_part2.mp4,Galle,1\nop_part1.mp4,Galle,2\n")
    joining = f"--operations={listed}" if is_listed else "--join_parts"
    names = [f"--data_rootdir={tmp_path}", "--name=ours"]
    made = call("prepare.py", *names, f"--videos={recordings}", joining, "--format=png")
    assert made.returncode == 0, made.stderr
    tables = []
    for inputs in (names, [f"--video_path={recordings}", joining]):
        output = tmp_path / f"{len(tables)}.npz"
        model = f"--model_path={models / 'encoder'}"
        result = call("inference.py", model, *inputs, f"--output={output}")
        assert result.returncode == 0, result.stderr
        assert "look like parts" not in result.stderr
        with np.load(output) as table:
            tables.append(dict(table))
    assert tables[0]["video"].tolist() == sorted(
        ["dicom"] * 3 + ["Galle" if is_listed else "op"] * 6
    )
    for column in ("video", "second", "embeddings"):
        np.testing.assert_array_equal(tables[0][column], tables[1][column])


def test_a_killed_run_goes_on(models, small_dataset, tmp_path):
    """Killed without warning as soon as there is a part."""
    arguments = [
        f"--model_path={models / 'encoder'}",
        f"--data_rootdir={small_dataset.parent}",
        "--batch_size=1",
        f"--output={tmp_path / 'a.parquet'}",
    ]
    slow = (
        "import sys, time, runpy; from data.batches import batches as b;"
        "from down_stream.inference import embeddings;"
        "embeddings.PART_SECONDS = 0; fetch = b._fetch;"
        "b._fetch = lambda batch: time.sleep(0.05) or fetch(batch);"
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", slow, str(ROOT / "inference.py"), *arguments]
    running = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    parts = tmp_path / "a.parquet.parts"
    until = time.monotonic() + 250
    while not list(parts.glob("*/part_*")) and time.monotonic() < until:
        time.sleep(0.02)
    assert running.poll() is None, "it has ended before it could be killed"
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (tmp_path / "a.parquet").exists()
    result = call("inference.py", *arguments)
    assert result.returncode == 0, result.stderr
    assert "[56, 12]" in result.stdout
    assert "were there from earlier runs" in result.stdout
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.parquet", "a.parquet.parts"]


def test_a_stream(models, tmp_path):
    video = write_video(tmp_path / "op.mp4", frames=100)
    result = call(
        "inference.py", f"--model_path={models / 'model'}", f"--stream={video}", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("0:00  ")
    assert "latency " in result.stdout
    assert [file.name for file in tmp_path.iterdir()] == ["op.mp4"]
    call(
        "inference.py",
        f"--model_path={models / 'model'}",
        f"--stream={video}",
        f"--output={tmp_path / 'out' / 'live.npz'}",
        cwd=tmp_path,
    )
    table = tmp_path / "out" / "live_phases" / "op_stream.csv"
    assert len(table.read_text().splitlines()) == 5


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "none; expected one of --image_path, --video_path, --data_rootdir, --stream"),
        (["--image_path=x", "--video_path=y"], "--image_path and --video_path"),
        (["--image_path=x", "--join_parts"], "--operations and --join_parts: need --video_path"),
        (["--image_path=nowhere"], "nowhere"),
        (["--video_path=nowhere"], "nowhere"),
        (["--data_rootdir=nowhere"], "nowhere/cholec80"),
        (["--video_path=FILE"], "not a video"),
        (["--stream=FILE"], "expected the model/ of an experiment for --stream"),
        (["--image_path=FRAMES", "--model_path=FOLDER"], "found: notes.txt"),
    ],
)
def test_wrong_input_is_one_line(models, small_dataset, tmp_path, arguments, named):
    places = {
        "FRAMES": small_dataset / "frames",
        "FOLDER": tmp_path,
        "FILE": tmp_path / "notes.txt",
    }
    (tmp_path / "notes.txt").write_text("x")
    for name, path in places.items():
        arguments = [argument.replace(name, str(path)) for argument in arguments]
    result = call("inference.py", f"--model_path={models / 'encoder'}", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert named in line
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_help_shows_an_example_of_every_input():
    result = call("inference.py", "--help")
    assert result.returncode == 0
    for name in ("--image_path ", "--video_path ", "--data_rootdir ", "--stream "):
        assert name in result.stdout
