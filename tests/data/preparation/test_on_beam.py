"""`prepare.py` on workers of Apache Beam, which are killed, makes what it makes without."""

import contextlib
import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import cv2
import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from data.common.errors import InputError
from data.dataset.cholec80 import PHASES
from data.dataset.extraction_log import read_log
from data.extraction.calls import make_call, read_result, write_calls
from data.extraction.one_video import extract_video
from data.preparation import on_beam
from data.preparation.on_beam import Beam, Watch, read_options
from data.storage.folders import copy_file, copy_folder
from data.video.parts import VideoFiles
from tests.support.object_store import new_place
from tests.support.places import ROOT
from tests.support.small_dataset import draw_frame, write
from tests.support.small_videos import write_video

DIRECT = "runner=DirectRunner,direct_num_workers=2"
WORKER = "apache_beam.runners.worker.sdk_worker_main"
MINUTE = 60
LONG = 2500  # frames
needs_beam = pytest.mark.skipif(
    not find_spec("apache_beam"), reason="requirements-beam.txt is not installed"
)


def start(folder, name, *arguments, beam=None):
    """The command, started in `folder`, with its output in files there."""
    command = [sys.executable, str(ROOT / "prepare.py"), f"--name={name}"]
    for flag, value in (("--data_rootdir", "out"), ("--videos", "recordings")):
        command += [] if any(flag in word for word in arguments) else [f"{flag}={value}"]
    command += [f"--beam_pipeline_options={beam}"] if beam else []
    with (folder / "stdout").open("w") as output, (folder / "stderr").open("w") as errors:
        return subprocess.Popen([*command, *arguments], cwd=folder, stdout=output, stderr=errors)


def prepare(folder, name, *arguments, beam=None, within=4 * MINUTE):
    """(Exit code, stdout, stderr) of the command."""
    process = start(folder, name, *arguments, beam=beam)
    try:
        code = process.wait(within)
    finally:
        process.kill()
    errors = (folder / "stderr").read_text()
    assert "Traceback" not in errors, errors
    return code, (folder / "stdout").read_text(), errors


def told(folder, name):
    """What a dataset says about itself, and all of its images."""
    root = folder / "out" / name
    files = [path for path in root.rglob("*") if path.is_file() and path.suffix in (".jpg", ".png")]
    images = {str(path.relative_to(root)): path.read_bytes() for path in files}
    tables = {path.name: pq.read_table(path) for path in root.glob("*.parquet")}
    texts = {path.name: path.read_text() for path in root.glob("[!.]*.json")}  # no local notes
    texts = {key: text.replace(f"out/{name}", "out/NAME") for key, text in texts.items()}
    return images, tables, texts, read_log(root / "frames")


def assert_same(folder, ours, theirs):
    ours, theirs = told(folder, ours), told(folder, theirs)
    assert ours[0].keys() == theirs[0].keys()
    assert len(theirs[0]) > 20
    assert ours[0] == theirs[0]
    assert ours[1].keys() == theirs[1].keys()
    for name, table in theirs[1].items():
        assert ours[1][name].equals(table), name
    assert ours[2] == theirs[2]
    assert ours[3] == theirs[3]


def workers_of(process):
    """The processes of workers among those that a process has started, itself or by others."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                words = child.cmdline()
                if WORKER in words and words[0] != "/bin/sh":
                    found.append(child)
    return found


def wait_for(condition, seconds=2 * MINUTE):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def is_in_the_middle(folder, name):
    """Whether some, but not all, frames of a video are there, and a worker says that it lives."""
    root = folder / "out" / name
    return any(root.glob(".beam/extract/*.alive")) and any(
        root.glob("frames/*/[!.]*_0000[2-9]*.jpg")
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with recordings as a hospital has them, and the local run's dataset."""
    folder = tmp_path_factory.mktemp("beam")
    recordings = folder / "recordings"
    for number in range(1, 4):
        write_video(recordings / f"op {number}.mp4", 25, 25 * 12)
    write_video(recordings / "b" / "Eingriff Ä_part1.avi", 25, 70)
    write_video(recordings / "b" / "Eingriff Ä_part2.avi", 25, 60)
    (recordings / "broken.mp4").write_text("no video")
    whole = write_video(recordings / "cut.avi", 25, 200).read_bytes()
    (recordings / "cut.avi").write_bytes(whole[: len(whole) * 2 // 3])

    rows = [f"{row}\t{PHASES[row // 100]}" for row in range(300)]
    for name in ("local", "direct", "loopback"):
        write(
            folder / "out" / name / "phase_annotations" / "op 1-phase.txt", ["Frame\tPhase", *rows]
        )
    assert prepare(folder, "local", *FLAGS)[0] == 1
    return folder


FLAGS = ("--join_parts", "--fps=2", "--drop_near_duplicates", "--crop_borders")


@pytest.fixture(scope="module")
def long_place(tmp_path_factory):
    """Recordings that take some seconds, and the local run's dataset of them."""
    folder = tmp_path_factory.mktemp("beam")
    for number in range(1, 5):
        write_video(folder / "recordings" / f"op{number}.mp4", 25, LONG, first=number)
    assert prepare(folder, "local", "--fps=25")[0] == 0
    return folder


@contextlib.contextmanager
def job_service(folder):
    """Context with Beam's Python job service in another process; yields its process, and port."""
    port = folder / "port"
    port.unlink(missing_ok=True)
    module = "apache_beam.runners.portability.local_job_service_main"
    with (folder / "service.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, f"--port_file={port}"],
            cwd=ROOT,  # where workers that it starts find the project
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(port.exists)
        yield process, int(port.read_text())
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def dask_cluster(folder):
    """Context with a scheduler of Dask and two workers, in processes of their own."""
    address, processes = folder / "scheduler.json", []

    def begin(module, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments]
        with (folder / f"{module}.log").open("a") as log:
            processes.append(
                subprocess.Popen(
                    [*command, "--scheduler-file", str(address), "--no-dashboard"],
                    env=os.environ | {"PYTHONPATH": str(ROOT)},
                    stdout=log,
                    stderr=log,
                )
            )

    try:
        begin("dask_scheduler", "--host=127.0.0.1", "--port=0")
        wait_for(address.exists)
        for _ in range(2):
            begin("dask_worker", "--nthreads=1", "--no-nanny")
        yield json.loads(address.read_text())["address"], processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


@needs_beam
def test_two_processes_make_what_one_makes(place):
    code, output, _ = prepare(place, "direct", *FLAGS, beam=DIRECT)
    assert code == 1  # a video is broken
    assert "not used: recordings/broken.mp4" in output
    assert_same(place, "direct", "local")
    assert not (place / "out" / "direct" / ".beam").exists()
    assert prepare(place, "direct", *FLAGS, beam=DIRECT)[:2] == (code, output)
    assert_same(place, "direct", "local")


@needs_beam
def test_images_are_linked_here_and_read_by_workers(place):
    (place / "pictures" / "stills").mkdir(parents=True)
    for number in range(12):
        image = draw_frame(number % 2, number, size=(32, 48)) if number else np.zeros((32, 48, 3))
        cv2.imwrite(str(place / "pictures" / "stills" / f"a-{number}.png"), image)
    (place / "pictures" / "stills" / "cut.png").write_bytes(b"\x89PNG")
    for name in ("linked", "linked_direct"):
        phases = place / "out" / name / "phase_annotations" / "stills-phase.txt"
        write(phases, ["Frame\tPhase", f"0\t{PHASES[0]}"])  # without the time of each image
    flags = ("--videos=pictures", "--drop_black")
    local = prepare(place, "linked", *flags)
    assert local[0] == 1
    assert "phases need the time of each image" in local[1]
    code, output, _ = prepare(place, "linked_direct", *flags, beam=DIRECT)
    assert (code, output.replace("linked_direct", "linked")) == local[:2]
    ours, theirs = told(place, "linked_direct"), told(place, "linked")
    assert len(theirs[0]) == 12
    assert ours[0] == theirs[0]
    assert all(ours[1][name].equals(table) for name, table in theirs[1].items())


@needs_beam
def test_a_job_service_makes_the_same(place):
    with job_service(place) as (_, port):
        beam = f"runner=PortableRunner,job_endpoint=localhost:{port},environment_type=LOOPBACK"
        assert prepare(place, "loopback", *FLAGS, beam=beam)[0] == 1
    assert_same(place, "loopback", "local")


@needs_beam
@pytest.mark.parametrize("runner", ["direct", "service"])
def test_where_a_worker_dies_the_command_ends_and_goes_on(long_place, runner):
    name = f"killed_{runner}"
    with contextlib.ExitStack() as stack:
        beam = DIRECT
        if runner == "service":
            service, port = stack.enter_context(job_service(long_place))
            beam = f"runner=PortableRunner,job_endpoint=localhost:{port},direct_num_workers=2,"
            beam += "environment_type=beam:env:harness_subprocess_python:v1,"
            beam += f"environment_config={sys.executable} -m {WORKER}"
        process = start(long_place, name, "--fps=25", beam=beam)
        wait_for(lambda: is_in_the_middle(long_place, name) or process.poll() is not None)
        workers = workers_of(service if runner == "service" else process)
        assert workers
        random.choice(workers).kill()
        began = time.monotonic()
        assert process.wait(2 * MINUTE) == 75
        assert time.monotonic() - began < MINUTE
        *_, line = (long_place / "stderr").read_text().splitlines()
        assert line.startswith("--beam_pipeline_options: ")
        assert "a worker died" in line
        assert "the same command goes on" in line
        assert "Traceback" not in (long_place / "stderr").read_text()
        if runner == "direct":
            wait_for(lambda: not any(worker.is_running() for worker in workers), 10)
        frames = {
            path: path.stat().st_mtime_ns
            for path in (long_place / "out" / name / "frames").glob("*/[!.]*.jpg")
        }
        assert 0 < len(frames) < 4 * LONG
        assert prepare(long_place, name, "--fps=25", beam=beam)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in frames} == frames
    assert_same(long_place, name, "local")
    assert not any((long_place / "out" / name).rglob(".part-*"))


@needs_beam
def test_where_the_runner_begins_anew_a_worker_that_dies_changes_nothing(long_place):
    with dask_cluster(long_place) as (address, workers):
        beam = f"runner=DaskRunner,dask_client_address={address}"
        process = start(long_place, "killed_dask", "--fps=25", beam=beam)
        wait_for(lambda: is_in_the_middle(long_place, "killed_dask") or process.poll() is not None)
        assert process.poll() is None
        random.choice(workers).kill()
        assert process.wait(2 * MINUTE) == 0, (long_place / "stderr").read_text()
    assert_same(long_place, "killed_dask", "local")
    assert not any((long_place / "out" / "killed_dask").rglob(".part-*"))


@needs_beam
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_where_the_command_is_ended_nothing_goes_on(long_place, number):
    name = f"ended_{number}"
    process = start(long_place, name, "--fps=25", beam=DIRECT)
    wait_for(lambda: is_in_the_middle(long_place, name) or process.poll() is not None)
    started = psutil.Process(process.pid).children(recursive=True)
    assert len(started) >= 3
    process.send_signal(number)
    assert process.wait(MINUTE) == {signal.SIGTERM: 75, signal.SIGKILL: -9}[number]
    wait_for(lambda: not any(child.is_running() for child in started), 30)
    frames = long_place / "out" / name / "frames"
    assert len([*frames.glob("*/[!.]*")]) < 4 * LONG  # nobody has gone on
    (frames / "op4").mkdir(exist_ok=True)
    (frames / "op4" / ".part-dead-1-op4_000001.jpg").touch()
    assert prepare(long_place, name, "--fps=25")[0] == 0  # here, without Beam
    assert told(long_place, name)[:3] == told(long_place, "local")[:3]


@needs_beam
def test_videos_and_frames_on_an_object_store(place, s3):
    bucket = new_place()
    copy_folder(place / "recordings", bucket / "recordings")
    annotations = "phase_annotations/op 1-phase.txt"
    copy_file(place / "out" / "local" / annotations, bucket / "out" / "remote" / annotations)
    flags = [f"--data_rootdir={bucket}/out", f"--videos={bucket}/recordings", *FLAGS]
    code, output, errors = prepare(place, "remote", *flags, beam=DIRECT)
    assert code == 1, errors
    assert f"not used: {bucket}/recordings/broken.mp4: 8 bytes that are not a video" in output
    copy_folder(bucket / "out" / "remote", place / "out" / "remote")
    ours, theirs = told(place, "remote"), told(place, "local")
    assert ours[0] == theirs[0]
    assert ours[1].keys() == theirs[1].keys()
    assert all(ours[1][name].equals(table) for name, table in theirs[1].items())
    texts = [
        {n: t.replace(f"{bucket}/", "") for n, t in texts.items() if n != "audit.json"}
        for texts in (ours[2], theirs[2])
    ]
    assert texts[0] == texts[1]
    noted = [
        {
            v: {k: n[k] for k in n.keys() - {"modified", "changed", "source"}}
            for v, n in log["videos"].items()
        }
        for log in (ours[3], theirs[3])
    ]
    lines = [json.dumps(log, sort_keys=True, default=str) for log in noted]  # as they were done
    assert lines[0].replace(f"{bucket}/", "") == lines[1]
    assert prepare(place, "remote", *flags, beam=DIRECT)[:2] == (code, output)


def test_what_is_remote_needs_workers(place):
    flags = ("--data_rootdir=s3://bucket/out", "--videos=s3://bucket/recordings")
    code, _, errors = prepare(place, "remote", *flags)
    assert (code, errors.count("\n")) == (2, 1)
    assert "--data_rootdir=s3://bucket/out: is remote; expected a local path, or" in errors


@pytest.mark.skipif(bool(find_spec("apache_beam")), reason="Apache Beam is installed")
def test_without_beam_it_is_said_before_anything_is_done(place):
    code, _, errors = prepare(place, "none", beam=DIRECT)
    assert (code, errors.count("\n")) == (2, 1)
    assert "Apache Beam is not installed here; expected" in errors
    assert not (place / "out" / "none").exists()


@needs_beam
@pytest.mark.parametrize(
    ("beam", "said"),
    [
        ("direct_num_workers=2", "no runner; expected runner=DirectRunner"),
        ("runner=DirectRunner,--x=1", "'--x=1'; expected NAME=VALUE,NAME=VALUE"),
        ("runner=SlowRunner", "SlowRunner: ValueError: Unexpected pipeline runner: SlowRunner"),
    ],
)
def test_wrong_options_are_one_line(place, beam, said):
    code, _, errors = prepare(place, "wrong", beam=beam)
    lines = [line for line in errors.splitlines() if not line.startswith("20")]  # progress
    assert code == 2
    assert len(lines) == 1, lines
    assert said in lines[0]


@needs_beam
def test_options_are_those_of_a_pipeline():
    runner, flags = read_options("runner=directrunner,experiments=a,experiments=b,streaming", 3)
    assert runner == "DirectRunner"
    assert {"--experiments=a", "--experiments=b", "--streaming"} <= {*flags}
    assert {"--direct_num_workers=3", "--direct_running_mode=multi_processing"} <= {*flags}
    assert read_options("runner=daskrunner")[1][1:] == ["--dask_partition_size=1"]
    assert read_options("runner=DaskRunner,dask_npartitions=9")[1][1:] == ["--dask_npartitions=9"]
    command = 'environment_config={"command": "/w, x"}'
    assert read_options(f"runner=FlinkRunner,{command},parallelism=4") == (
        "FlinkRunner",
        ["--runner=FlinkRunner", f"--{command}", "--parallelism=4"],
    )


def test_silence_is_noticed_by_this_clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(on_beam.time, "monotonic", lambda: now[0])

    def silent(seconds, alive, done):
        now[0] += seconds
        return watch.is_silent(alive, done)

    watch = Watch()
    assert not silent(49, {}, 0)  # workers start
    assert not silent(2, {"a": "1", "b": "1"}, 0)
    assert not silent(39, {"a": "2", "b": "1"}, 0)
    assert silent(2, {"a": "3", "b": "1"}, 0)
    assert not silent(1, {"a": "4", "b": "other 1"}, 0)  # another worker has begun it again
    assert not silent(39, {"a": "5"}, 1)
    assert not silent(49, {}, 2)
    assert not silent(49, {}, 2)
    assert silent(2, {}, 2)


def _make_calls(file, frames=None):
    """In a process of its own: makes calls one by one; killed when there are some more frames."""
    code = "import sys, pathlib; from data.extraction.calls import make_call, read_calls; " + (
        "file = pathlib.Path(sys.argv[1]); [make_call(file, *call) for call in read_calls(file)]"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(file)], cwd=ROOT) as process:
        if frames:
            enough = len([*frames.glob("*/[!.]*")]) + random.randint(50, 500)
            wait_for(lambda: len([*frames.glob("*/[!.]*")]) > enough or process.poll() is not None)
            process.kill()
    return process.returncode


def test_a_call_that_is_made_again_after_a_death_has_the_same_result(long_place):
    """What a runner that retries does."""
    frames = long_place / "again" / "frames"
    settings = {"fps": 25.0, "format": "jpg", "quality": 95, "size": None}
    videos = {f"op{n}": VideoFiles((long_place / "recordings" / f"op{n}.mp4",)) for n in (1, 2, 3)}
    calls = {n: functools.partial(extract_video, n, v, frames, settings) for n, v in videos.items()}
    file = long_place / "again" / "run.calls"
    file.parent.mkdir()
    write_calls(file, calls)
    deaths = sum(_make_calls(file, frames) != 0 for _ in range(4))
    assert deaths > 1
    assert _make_calls(file) == 0
    local = read_log(long_place / "out" / "local" / "frames")["videos"]
    for name in calls:
        assert read_result(file.parent, name) == local[name]
        theirs = long_place / "out" / "local" / "frames" / name
        images = {path.name: path.read_bytes() for path in (frames / name).glob("[!.]*")}
        assert images == {path.name: path.read_bytes() for path in theirs.glob("[!.]*")}


def _fail_at_first(folder, text, stop, writer):
    """A call that meets what another worker may not: a disk that is full, a store that is away."""
    (folder / text).mkdir(exist_ok=True)
    tried = len([*(folder / text).iterdir()])
    (folder / text / f"{tried}").touch()
    if not tried:
        raise OSError(28, "No space left on device", text)
    return text


@needs_beam
@pytest.mark.parametrize("runner", ["BundleBasedDirectRunner", "DirectRunner"])
def test_what_failed_is_done_again_where_the_runner_does_so(tmp_path, runner):
    """The first is a runner of Beam's that makes four attempts at a bundle, though with threads."""
    calls = {name: functools.partial(_fail_at_first, tmp_path, name) for name in ("a", "b", "c")}
    beam = Beam(f"runner={runner}", tmp_path)
    if runner == "DirectRunner":
        with pytest.raises(InputError, match=r"DirectRunner: OSError: .*No space left .*its log: "):
            list(beam("stage", calls, dict(zip("abc", "abc", strict=True))))
    else:
        found = list(beam("stage", calls, dict(zip("abc", "abc", strict=True))))
        assert found == [("a", "a"), ("b", "b"), ("c", "c")]
        assert not [*(tmp_path / ".beam" / "stage").glob("*.failed")]


def test_nobody_waits_any_more(tmp_path):
    """Workers of a run that has ended stop, and leave no result."""
    (tmp_path / "run.calls").write_bytes(b"")

    def call(stop, writer):
        (tmp_path / "run.calls").unlink()
        assert stop.wait(30)
        return writer

    make_call(tmp_path / "run.calls", "a", call)
    make_call(tmp_path / "run.calls", "b", lambda **_: pytest.fail("called"))
    assert not list(tmp_path.iterdir())


def test_what_a_worker_meets_is_a_result_or_a_line(tmp_path):
    (tmp_path / "run.calls").write_bytes(b"")

    def refuse(**_):
        raise InputError("a.mp4: no video")

    def fail(**_):
        raise OSError(28, "No space left on device", "x.jpg")

    make_call(tmp_path / "run.calls", "a", refuse)
    assert str(read_result(tmp_path, "a")) == "a.mp4: no video"
    make_call(tmp_path / "run.calls", "a", fail)  # there is a result
    with pytest.raises(OSError, match="No space"):
        make_call(tmp_path / "run.calls", "b", fail)
    assert (tmp_path / "b.failed").read_text().startswith("OSError: [Errno 28] No space left")
