"""Tables of folders that change from run to run: what is there already costs nothing."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.cholec80 import PHASES
from data.frames.frames import Frames
from data.frames.listing import list_images, list_videos
from data.frames.video_frames import VideoFrames
from down_stream.classifiers.frame_model import FrameModel, save_frame_model
from down_stream.inference import embeddings
from down_stream.inference.embeddings import embed
from down_stream.inference.options import GONE, Options
from down_stream.inference.parts.notes import parts_folder, read_note
from down_stream.inference.parts.table_parts import Parts
from down_stream.inference.parts.video_parts import VideoParts, digests_of_images
from down_stream.inference.result import describe
from msn.networks.encoder import Encoder
from tests.support.small_videos import write_video

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    encoder = Encoder(image_size=16, patch_size=8, width=12, depth=1, num_heads=3, seed=5)
    folder = tmp_path_factory.mktemp("model")
    return save_frame_model(FrameModel(encoder, PHASES, seed=0), folder / "model", {})


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    for name, frames in (("a", 60), ("b", 80), ("c", 40)):
        write_video(folder / f"{name}.mp4", frames=frames)
    return folder


def run(model, videos, output, **options):
    """(table, result) of the videos as they are now."""
    frames = videos if not hasattr(videos, "iterdir") else list_videos([videos])
    result = embed(model, frames, output, Options(batch_size=4, **options))
    with np.load(output, allow_pickle=False) as table:
        return dict(table), result


def assert_same(table, other):
    assert table.keys() == other.keys()
    for name, values in table.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def test_what_is_done_stays_and_the_rest_is_made(model, videos, tmp_path):
    output, page = tmp_path / "a.npz", tmp_path / "map.html"
    _, result = run(model, videos, output, map=page)
    assert (result.new, result.changed, result.gone) == (["a", "b", "c"], [], [])
    pictures = {file.name: file.stat().st_mtime_ns for file in tmp_path.glob("a_phases/*.png")}

    write_video(videos / "b.mp4", frames=120)
    write_video(videos / "0.mp4", frames=30)
    (videos / "c.mp4").unlink()
    table, result = run(model, videos, output, map=page)
    assert (result.new, result.changed, result.gone) == (["0"], ["b"], ["c"])
    assert result.before == 3  # of a
    assert result.frames == 2 + 5
    assert "changed         b; made again" in describe(result)
    assert "gone            c; --gone=keep keeps such rows" in describe(result)
    fresh, _ = run(model, videos, tmp_path / "fresh.npz", map=tmp_path / "fresh.html")
    assert_same(table, fresh)
    assert page.read_text() == (tmp_path / "fresh.html").read_text()
    assert {file.name[0] for file in parts_folder(output).glob("*-*")} == {"0", "a", "b"}
    of_phases = {file.name for file in (tmp_path / "a_phases").iterdir()}
    assert of_phases == {f"{video}.{kind}" for video in "0ab" for kind in ("csv", "png")}
    assert (tmp_path / "a_phases" / "a.png").stat().st_mtime_ns == pictures["a.png"]

    table, result = run(model, videos, output)
    assert (result.frames, result.new, result.changed, result.gone) == (0, [], [], [])
    assert_same(table, fresh)


def test_rows_of_videos_that_are_gone_may_stay(model, videos, tmp_path):
    output = tmp_path / "a.npz"
    before, _ = run(model, videos, output)
    (videos / "a.mp4").rename(tmp_path / "a.mp4")
    (videos / "notes.txt").write_text("x")
    for _ in range(2):
        table, result = run(model, videos, output, gone="keep", map=tmp_path / "map.html")
        assert (result.gone, result.passed_over) == (["a"], 1)
        assert table["metadata"] == before["metadata"]  # with the frame rate
        assert "gone            a; their rows are kept" in describe(result)
        assert table["video"].tolist() == ["b"] * 4 + ["c"] * 2 + ["a"] * 3
        order = np.argsort(table["video"], kind="stable")
        for name in ("embeddings", "second", "path", "probabilities"):
            np.testing.assert_array_equal(table[name][order], before[name])
        assert (tmp_path / "a_phases" / "a.csv").is_file()
    (tmp_path / "a.mp4").rename(videos / "a.mp4")
    table, result = run(model, videos, output)
    assert (result.frames, result.gone) == (0, [])
    assert_same(table, before)


@pytest.mark.parametrize("gone", GONE)
def test_what_cannot_be_read_tonight_is_not_gone(model, videos, tmp_path, gone):
    """A copy that is under way, and a folder that cannot be opened: here a link to itself."""
    output = tmp_path / "a.npz"
    write_video(videos / "deep" / "d.mp4", frames=40)
    before, _ = run(model, videos, output)
    whole = (videos / "a.mp4").read_bytes()
    state = (videos / "a.mp4").stat()
    (videos / "a.mp4").write_bytes(whole[:2000])
    (videos / "deep").rename(tmp_path / "deep")
    (videos / "deep").symlink_to("deep")
    (videos / "b.mp4").unlink()
    table, result = run(model, videos, output, gone=gone)
    assert len(result.faults) == 2
    assert result.gone == ["b"]
    stay = {"drop": {"c"}, "keep": {"a", "b", "c", "d"}}[gone]
    assert set(table["video"].tolist()) == set(result.videos) == stay
    fate = {"drop": "left out; what was made of them stays", "keep": "their rows are kept"}[gone]
    assert f"cannot be read  a, d; {fate}" in describe(result)

    (videos / "a.mp4").write_bytes(whole)
    os.utime(videos / "a.mp4", ns=(state.st_mtime_ns, state.st_mtime_ns))
    (videos / "deep").unlink()
    (tmp_path / "deep").rename(videos / "deep")
    table, result = run(model, videos, output)
    assert (result.frames, result.faults) == (0, [])
    for name in ("embeddings", "video", "second", "path"):
        np.testing.assert_array_equal(table[name], before[name][before["video"] != "b"])


def test_of_what_is_gone_some_may_be_there(tmp_path):
    def parts_of(path):
        parts = VideoParts(tmp_path / path.replace("/", "-"), "a", 1)
        parts.add(1, {"rows": np.array([0]), "path": np.array([path])}, [])
        return parts

    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "there").write_bytes(b"")
    for name, is_maybe in (("loop/a.mp4", True), ("there", True), ("no/a.mp4", False)):
        assert parts_of(f"{tmp_path}/{name}").may_be_there() == is_maybe
    assert parts_of("patient 1").may_be_there()  # in DICOM files, wherever they are


@pytest.mark.parametrize("first, last", [(60, 100), (100, 60)])
def test_of_a_video_that_is_gone_the_latest_state_stays(model, videos, tmp_path, first, last):
    """It changed, its run was killed before it removed the old parts, and then it disappeared."""
    output = tmp_path / "a.npz"
    write_video(videos / "a.mp4", frames=first)
    run(model, videos, output)
    (old,) = parts_folder(output).glob("a-*")
    shutil.copytree(old, tmp_path / old.name)
    write_video(videos / "a.mp4", frames=last)
    changed, _ = run(model, videos, output)
    shutil.copytree(tmp_path / old.name, old)  # with its times
    (videos / "a.mp4").unlink()
    table, result = run(model, videos, output, gone="keep")
    assert result.gone == ["a"]
    order = np.argsort(table["video"], kind="stable")
    for name in ("embeddings", "video", "second", "path"):
        np.testing.assert_array_equal(table[name][order], changed[name])
    assert not old.exists()


def test_what_could_not_be_read_is_tried_again(model, small_dataset, tmp_path, monkeypatch):
    """Reading fails for reasons that leave files as they are: rights, or a share that drops."""
    monkeypatch.setattr(embeddings, "PART_SECONDS", 0)  # parts of four frames
    images, output = tmp_path / "images", tmp_path / "a.npz"
    for video in ("video01", "video02"):
        shutil.copytree(small_dataset / "frames" / video, images / video)
    expected, _ = run(model, list_images(images), tmp_path / "expected.npz")
    files = [*images.glob("video01/*"), images / "video02" / "video02_000007.png"]
    whole = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}
    for file, (content, time) in whole.items():
        file.write_bytes(b"x" * len(content))
        os.utime(file, ns=(time, time))
    _, result = run(model, list_images(images), output)
    assert (result.frames, len(result.faults)) == (28, 15)
    _, result = run(model, list_images(images), output)
    assert (result.frames, len(result.faults)) == (0, 15)
    assert (result.new, result.changed) == ([], [])
    for file, (content, time) in whole.items():
        file.write_bytes(content)
        os.utime(file, ns=(time, time))
    table, result = run(model, list_images(images), output)
    assert (result.frames, result.before) == (14 + 10, 4)
    assert (result.new, result.changed, result.faults) == (["video01"], ["video02"], [])
    for column in ("video", "second", "path"):
        np.testing.assert_array_equal(table[column], expected[column])
    np.testing.assert_allclose(table["embeddings"], expected["embeddings"], atol=1e-4)
    _, result = run(model, list_images(images), output)
    assert (result.frames, result.new, result.changed) == (0, [], [])


def test_a_list_in_which_videos_take_turns_keeps_its_order(model, small_dataset, tmp_path):
    files = [
        small_dataset / "frames" / video / f"{video}_{n:06d}.png"
        for n in (3, 1)
        for video in ("video02", "video01")
    ]
    (tmp_path / "list.txt").write_text("\n".join(map(str, files)))
    table, _ = run(model, list_images(tmp_path / "list.txt"), tmp_path / "a.npz")
    assert table["path"].tolist() == list(map(str, files))
    (tmp_path / "list.txt").write_text("\n".join(map(str, files[1:])))
    table, result = run(model, list_images(tmp_path / "list.txt"), tmp_path / "a.npz")
    assert table["path"].tolist() == list(map(str, files[1:]))
    assert result.frames == 3


def test_parts_are_found_again_whatever_ended_a_run(small_dataset, tmp_path):
    images = shutil.copytree(small_dataset / "frames", tmp_path / "images")  # four videos of 14
    (images / "video01" / "video01_000004.png").write_bytes(b"")
    frames, output = list_images(images), tmp_path / "out" / "a.npz"

    def opened(**made_with):
        parts = Parts(output, made_with)
        parts.take(frames)
        return parts

    parts = opened(tokens="cls")
    assert list(parts.left()) == [range(56)]
    rows = np.array([*range(3), *range(4, 20)])
    parts.add(0, 20, {"rows": rows, "n": 10 * rows}, [(3, "row 3 is bad")])
    assert list(parts.left()) == [range(20, 56)]
    (parts.videos[1].folder / ".part-part_000000000009.npz").write_bytes(b"half")
    again = opened(tokens="cls")
    assert list(again.left()) == [range(20, 56)]
    again.add(20, 28, {"rows": np.arange(20, 28), "n": np.arange(200, 280, 10)}, [])
    again.videos[0].remove()
    again = opened(tokens="cls")
    assert list(again.left()) == [range(14), range(28, 56)]
    assert again.rows().tolist() == list(range(14, 28))
    assert again.whole("n").tolist() == list(range(140, 280, 10))
    (again.videos[2].folder / "thumbnails").mkdir(parents=True)  # killed before its first part
    assert [of.folder.name for of in opened(tokens="cls").others()[1]] == []
    with pytest.raises(InputError, match=r"'cls', not 'mean'; expected .* that are gone\)$"):
        opened(tokens="mean")
    again.remove()
    assert not list(output.parent.iterdir())


def test_a_file_that_was_only_touched_or_copied_costs_nothing(model, videos, tmp_path):
    output = tmp_path / "a.npz"
    before, _ = run(model, videos, output)
    for number, file in enumerate(sorted(videos.iterdir()), 1):
        os.utime(file, (number, number))
    table, result = run(model, videos, output)
    assert (result.frames, result.new, result.changed) == (0, [], [])
    assert_same(table, before)
    assert len(list(parts_folder(output).glob("*-*"))) == 3, "nothing is left behind"

    content = bytearray((videos / "a.mp4").read_bytes())
    content[len(content) // 2] ^= 1
    (videos / "a.mp4").write_bytes(content)
    _, result = run(model, videos, output)
    assert result.changed == ["a"]


def replace(file):
    """Another content of the same size and time of change, as `cp -p` may leave it."""
    content, time = bytearray(file.read_bytes()), file.stat().st_mtime_ns
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(time, time))


def test_a_file_that_was_replaced_by_one_of_its_size_and_time_is_made_again(
    model, videos, tmp_path
):
    output, kept = tmp_path / "a.npz", tmp_path / "clocks"
    parts = ["b.mp4", "c.mp4"]
    (tmp_path / "parts.csv").write_text(
        "file,operation,order\n" + "".join(f"{p},op,{n}\n" for n, p in enumerate(parts, 1))
    )

    def night():
        frames = list_videos([videos], operations=tmp_path / "parts.csv", kept=kept)
        return run(model, frames, output)[1]

    assert night().new == ["a", "op"]
    for file in videos.iterdir():
        file.chmod(0o600)
    (tmp_path / "link").hardlink_to(videos / "a.mp4")
    assert night().frames == 0
    for file, name in (("a.mp4", "a"), ("c.mp4", "op")):
        replace(videos / file)
        assert night().changed == [name]
        assert night().frames == 0


def test_images_that_were_replaced_by_ones_of_their_size_and_time_are_made_again(model, tmp_path):
    folder, output = tmp_path / "stills", tmp_path / "a.npz"
    folder.mkdir()
    for number in range(3):
        pixels = np.full((24, 24, 3), 40 * number + 20, np.uint8)
        assert cv2.imwrite(str(folder / f"s{number}.bmp"), pixels)

    def night():
        return run(model, list_images(str(folder)), output)

    before, result = night()
    assert result.frames == 3
    for file in folder.iterdir():
        file.chmod(0o600)
        (tmp_path / f"link_{file.name}").hardlink_to(file)
    table, result = night()
    assert result.frames == 0, "rights and links change no image"
    assert_same(table, before)
    replace(folder / "s1.bmp")
    table, result = night()
    assert (result.frames, result.new) == (3, [])
    fresh, _ = run(model, list_images(str(folder)), tmp_path / "fresh.npz")
    assert_same(table, fresh)
    assert not np.array_equal(table["embeddings"], before["embeddings"])
    assert night()[1].frames == 0


def test_images_that_change_while_they_are_embedded_are_not_known_again(tmp_path):
    file = tmp_path / "a.bmp"
    assert cv2.imwrite(str(file), np.zeros((8, 8, 3), np.uint8))
    (whole,) = digests_of_images([str(file)])
    changed = file.stat().st_ctime
    assert digests_of_images([str(file)], changed).tolist() == [0]
    assert digests_of_images([str(file)], changed + 1).tolist() == [whole]
    assert digests_of_images([str(tmp_path / "gone.bmp")]).tolist() == [0]
    assert digests_of_images([str(file), str(tmp_path / "a.mp4")]) is None


def test_images_of_an_earlier_version_stay(model, small_dataset, tmp_path, monkeypatch):
    """It told them by size and time of change alone, and kept nothing of what they hold."""
    root, output = shutil.copytree(small_dataset, tmp_path / "data"), tmp_path / "a.npz"
    monkeypatch.setattr(Frames, "state", Frames.former_state)
    monkeypatch.setattr(embeddings, "digests_of_images", lambda *_: None)
    frames = str(root / "frames" / "*" / "*")
    before, _ = run(model, list_images(frames), output)
    monkeypatch.undo()
    table, result = run(model, list_images(frames), output)
    assert (result.frames, result.new, result.changed) == (0, [], [])
    assert_same(table, before)


def test_what_an_earlier_version_made_stays(model, videos, tmp_path, monkeypatch):
    """It told files by size and time of change alone, and those of operations by nothing else."""
    output = tmp_path / "a.npz"
    monkeypatch.setattr(VideoFrames, "state", VideoFrames.former_state)
    before, _ = run(model, videos, output)
    monkeypatch.undo()
    (note,) = parts_folder(output).glob("b-*/video.json")
    note.write_text(json.dumps({"video": "b", "frames": read_note(note)["frames"]}))
    table, result = run(model, videos, output)
    assert (result.frames, result.new, result.changed) == (0, [], [])
    assert_same(table, before)
    assert len(list(parts_folder(output).glob("*-*"))) == 3
