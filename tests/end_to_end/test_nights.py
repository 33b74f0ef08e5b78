"""Two weeks of nights: recordings come, go, change and break; runs are killed, or are two at once.

The table and the data set of the last night are those of one fresh run over the last folder. Every
night is a process of its own, forked from a server that has TensorFlow imported already.
"""

import json
import multiprocessing
import os
import random
import sys
import time
import traceback

import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.frame_index import load_index
from msn.encoders import save_encoder
from msn.networks.encoder import Encoder
from tests.data.common.test_cli import call
from tests.support.small_videos import write_video

NIGHTS = 14
DONE, IN_PART, REFUSED, MISTAKE = 0, 1, 2, 9
SAID = ("new", "changed", "gone", "videos", "frames")


def embed_night(folder, model, output, cache):
    """What inference.py does, but for starting TensorFlow; its result lies beside the table."""
    import tensorflow as tf

    from data.frames.listing import list_videos
    from down_stream.inference import embeddings

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    tf.config.run_functions_eagerly(True)
    embeddings.PART_SECONDS = 0  # so that a kill leaves something, in nights of a second
    try:
        frames = list_videos([folder], 2.0, kept=cache)
        result = embeddings.embed(model, frames, output, embeddings.Options(batch_size=4))
        lists = {name: getattr(result, name) for name in SAID}
        output.with_suffix(".json").write_text(json.dumps(lists))
    except InputError:
        sys.exit(REFUSED)
    except BaseException:  # noqa: BLE001 - Python would exit with 1, which is IN_PART
        output.with_suffix(".trace").write_text(traceback.format_exc())
        os._exit(MISTAKE)
    sys.exit(IN_PART if result.faults else DONE)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts a night on a folder, with a table to write; returns its process, and what it says."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["down_stream.inference.embeddings"])
    home = tmp_path_factory.mktemp("home")
    encoder = Encoder(image_size=16, patch_size=8, width=12, depth=1, num_heads=3, seed=5)
    save_encoder(encoder, home / "encoder", {})

    def start(folder, output, model=home / "encoder"):
        arguments = (folder, model, output, home / "clocks")
        process = context.Process(target=embed_night, args=arguments)
        process.trace = output.with_suffix(".trace")
        process.start()
        return process

    return start


class Recordings:
    """A folder that a hospital writes to."""

    def __init__(self, folder, chance):
        self.folder, self.chance, self.count = folder, chance, 0
        for _ in range(3):
            self.come()

    def change_at_day(self):
        """One to three things that happen between two nights."""
        for _ in range(self.chance.randint(1, 3)):
            self.chance.choice([self.come, self.come, self.go, self.change, self.break_one])()

    def come(self):
        self.count += 1
        self._write(f"op{self.count}")

    def go(self):
        if len(names := self.names()) > 2:
            (self.folder / f"{self.chance.choice(names)}.mp4").unlink()

    def change(self):
        self._write(self.chance.choice(self.names()))

    def break_one(self):
        file = self.folder / f"{self.chance.choice(self.names())}.mp4"
        file.write_bytes(file.read_bytes()[: self.chance.choice([20, 3000])])

    def names(self):
        return sorted(file.stem for file in self.folder.iterdir())

    def _write(self, name):
        write_video(self.folder / f"{name}.mp4", frames=self.chance.randint(30, 200))


def load(path):
    with np.load(path, allow_pickle=False) as table:
        return dict(table)


def end_of(process):
    process.join(120)
    if process.exitcode == MISTAKE:
        pytest.fail(process.trace.read_text())
    return process.exitcode


def test_a_mistake_of_ours_is_no_night_that_is_done(start, tmp_path):
    write_video(tmp_path / "in" / "a.mp4", frames=30)
    with pytest.raises(pytest.fail.Exception, match=r"\b(Type|Attribute)Error: .*'int'"):
        end_of(start(tmp_path / "in", tmp_path / "a.npz", model=3))


def test_two_weeks_of_nights(start, tmp_path):
    chance = random.Random(20)
    recordings, output = Recordings(tmp_path / "in", chance), tmp_path / "out" / "a.npz"
    killed = 0
    for night in range(NIGHTS):
        processes = [start(recordings.folder, output) for _ in range(1 + (night % 5 == 4))]
        if night % 3 == 1:
            killed += kill_on_its_way(processes[0], output, chance)
            assert [end_of(other) for other in processes[1:]] in ([], [DONE], [IN_PART], [REFUSED])
        else:
            codes = [end_of(process) for process in processes]
            assert min(codes) in (DONE, IN_PART), codes
            assert max(codes) <= REFUSED  # by the lock, where two were at once
            said = json.loads(output.with_suffix(".json").read_text())
            assert said["videos"] == list(dict.fromkeys(load(output)["video"].tolist()))
        if night < NIGHTS - 1:
            recordings.change_at_day()
            recordings.come()
    assert killed >= 3

    for _ in range(2):
        assert end_of(start(recordings.folder, output)) in (DONE, IN_PART)
    said = json.loads(output.with_suffix(".json").read_text())
    assert (said["frames"], said["new"], said["changed"], said["gone"]) == (0, [], [], [])
    fresh = tmp_path / "fresh.npz"
    assert end_of(start(recordings.folder, fresh)) in (DONE, IN_PART)
    table, expected = load(output), load(fresh)
    assert table.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(table[name], values, err_msg=name)
    parts = {folder.name.split("-")[0] for folder in (tmp_path / "out" / "a.npz.parts").glob("*-*")}
    assert set(said["videos"]) <= parts <= set(recordings.names())  # of a broken one they stay
    left = {file.name for file in (tmp_path / "out").iterdir()}
    assert left == {"a.npz", "a.npz.parts", "a.json"}


def kill_on_its_way(process, output, chance):
    """Kills a night when it has made some parts; whether it came before the end."""

    def parts():
        return len(list(output.with_name("a.npz.parts").glob("*/part_*")))

    enough = parts() + chance.randint(1, 4)
    while process.is_alive() and parts() < enough:
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 0.05))
    process.kill()
    return end_of(process) < 0


def test_nights_of_a_data_set(tmp_path):
    """The command itself, with what cron would give it."""
    chance = random.Random(3)
    recordings, told = Recordings(tmp_path / "in", chance), tmp_path / "last.json"
    (recordings.folder / "broken.mp4").write_bytes(b"no video")

    def prepare(name, *arguments):
        result = call(
            "prepare",
            *(f"--data_rootdir={tmp_path}", f"--name={name}", f"--videos={recordings.folder}"),
            *("--format=png", *arguments),
            cwd=tmp_path / "in",
        )
        assert "\r" not in result.stderr and "Traceback" not in result.stderr
        return result.returncode

    every_night = (f"--summary={told}", f"--known_problems={told}")
    assert prepare("ours", *every_night) == IN_PART  # a file is broken
    recordings.come()
    assert prepare("ours", *every_night) == DONE  # which is known
    said = json.loads(told.read_text())
    assert (said["new"], said["changed"], said["gone"]) == (["op4"], [], [])
    assert said["done"] == ["op1", "op2", "op3", "op4"]
    assert "broken.mp4" in said["not_used"][0]["reason"]
    write_video(recordings.folder / "op2.mp4", frames=260)
    (recordings.folder / "op3.mp4").unlink()
    (recordings.folder / "worse.mp4").write_bytes(b"no video either")
    assert prepare("ours", *every_night) == IN_PART  # which is new
    said = json.loads(told.read_text())
    assert (said["new"], said["changed"], said["gone"]) == ([], ["op2"], ["op3"])
    assert len(said["new_problems"]) == 1 and len(said["not_used"]) == 2

    assert prepare("fresh") == IN_PART
    ours, fresh = (load_index(tmp_path / name) for name in ("ours", "fresh"))
    ours = ours.select(exclude=("op3",))
    assert ours.videos == fresh.videos
    np.testing.assert_array_equal(ours.frame, fresh.frame)
    paths = [index.paths(np.arange(len(fresh))) for index in (ours, fresh)]
    for one, other in zip(*paths, strict=True):
        assert open(one, "rb").read() == open(other, "rb").read()  # noqa: PTH123, SIM115
    assert sorted(path.name for path in recordings.folder.iterdir()) == [
        *("broken.mp4", "op1.mp4", "op2.mp4", "op4.mp4", "worse.mp4")
    ]
