"""`prepare` in Python: what the command does, without its flags, prints and exits."""

import inspect
import logging
import re
import signal
import threading
from pathlib import Path

import pytest
from absl import flags

from data.common.errors import InputError
from data.dataset.frame_index import load_index
from data.kinds.request import Request
from data.preparing import prepare
from tests.support import documented
from tests.support.forked_commands import call
from tests.support.places import ROOT
from tests.support.small_videos import write_video


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "Aufnahmen, neu"
    for name in ("op1", "op 2"):
        write_video(folder / f"{name}.mp4", frames=60)
    return folder


def handlers():
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


def test_a_folder_of_videos_becomes_a_dataset_silently(videos, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    before = handlers()
    made = prepare(tmp_path / "datasets", name="ours", videos=videos, format="png", workers=1)
    assert made.root == tmp_path / "datasets" / "ours"
    assert {name: counts["frames"] for name, counts in made.videos.items()} == {"op1": 3, "op 2": 3}
    assert sorted(made.new) == ["op 2", "op1"] and made.problems == made.changed == made.gone == []
    assert len(load_index(made.root)) == 6
    assert made.splits["default"] in made.splits["protocols"]
    assert "ours: 2 videos, 6 frames" in str(made)
    assert capfd.readouterr() == ("", "")
    assert handlers() == before

    (videos / "broken.mp4").write_bytes(b"no video")
    again = prepare(str(tmp_path / "datasets"), name="ours", videos=str(videos), format="png")
    assert again.new == [] and len(again.problems) == 1 and "broken.mp4" in again.problems[0]


def test_it_says_what_the_command_says(videos, tmp_path):
    words = ("--name=ours", f"--videos={videos}", f"--data_rootdir={tmp_path}")
    done = call("prepare.py", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = prepare(tmp_path, name="ours", videos=videos)
    assert done.stdout == f"{made}\n"


def test_a_dry_run_writes_nothing(videos, tmp_path):
    plan = prepare(tmp_path / "out", name="ours", videos=videos, dry_run=True)
    assert "nothing was written" in str(plan) and plan.videos == {}
    assert not (tmp_path / "out").exists()


def test_a_dry_run_counts_the_room_of_packed_frames(videos, tmp_path):
    """Twice that of new frames; of frames that are there, that of their copy."""

    def room(**how):
        plan = prepare(tmp_path, name="ours", videos=videos, dry_run=True, **how)
        (line,) = (line for line in plan.lines if line.startswith("room: "))
        return line.split(";")[0], str(plan)

    one, two = room()[0], room(pack=True)[0]
    number = [float(re.search(r"[\d.]+", text)[0]) for text in (one, two)]
    assert number[1] == pytest.approx(2 * number[0], rel=0.02)
    prepare(tmp_path, name="ours", videos=videos)
    assert room()[0] == "room: none"
    said, plan = room(pack=True)
    assert said.startswith("room: about ")
    frames = len(load_index(tmp_path / "ours"))
    assert f"{frames} frames that are there, and all that come, are packed" in plan


@pytest.mark.parametrize(
    "arguments",
    [
        {"dataset": "classes"},
        {"videos": "/nonexistent"},
        {"videos": ""},
        {"synthetic": True, "fps": -1.0},
        {"crop_margin": 0.1},
        {"sheet": "sheet.gif"},
        {"name": "a/b", "synthetic": True},
    ],
)
def test_wrong_input_raises_the_line_that_the_command_prints(arguments, tmp_path):
    with pytest.raises(InputError) as raised:
        prepare(tmp_path, **arguments)
    words = [f"--{name}={value}" for name, value in arguments.items()]
    done = call("prepare.py", f"--data_rootdir={tmp_path}", *words)
    assert (done.returncode, done.stderr) == (2, f"error: {raised.value}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"dataset": "cholec8"}, "dataset is 'cholec8'; expected cholec80, "),
        ({"annotation_fps": 0.0}, "annotation_fps is 0.0; expected"),
        ({"dataset": "classes", "images": "x", "class_folders": "middle"}, "class_folders is 'mid"),
    ],
)
def test_what_flags_refuse_themselves_is_refused(arguments, said, tmp_path):
    with pytest.raises(InputError, match=said):
        prepare(tmp_path, **arguments)


def test_in_a_thread(videos, tmp_path):
    made = []
    thread = threading.Thread(
        target=lambda: made.append(prepare(tmp_path / "out", name="ours", videos=videos))
    )
    thread.start()
    thread.join()
    assert len(made[0].videos) == 2


def test_arguments_flags_and_defaults_are_the_same():
    arguments = inspect.signature(prepare).parameters
    assert set(arguments) == set(Request.arguments())
    with documented.own_flags():
        source = Path(ROOT / "prepare.py").read_text()
        exec(compile(source, "prepare.py", "exec"), {"__name__": "prepare"})
        request = Request(frozenset(), "x")
        for name in set(arguments) - {"data_rootdir"}:
            assert flags.FLAGS[name].default == getattr(request, name), name
            assert re.search(rf"\b{name}\b.*: ", prepare.__doc__), name
