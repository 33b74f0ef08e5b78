"""The miniature Cholec80: official format, surgical sense, determinism, resumption."""

import hashlib
from collections import Counter

import cv2
import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data.common.errors import InputError
from data.dataset.cholec80 import PHASES, SOURCE_FPS, TOOLS
from data.synthetic.camera import Endoscope
from data.synthetic.cholec80 import TOOL_SHARES, make_dataset, make_timeline

SMALL = {"seconds": 14, "size": (64, 48)}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic")
    make_dataset(root, num_videos=3, workers=2, **SMALL)
    return root


def read_table(path):
    lines = path.read_text().splitlines()
    return lines[0].split("\t"), [line.split("\t") for line in lines[1:]]


def digests(root):
    """Name -> checksum of every video and annotation."""
    files = [path for path in root.rglob("video*") if path.is_file()]
    return {
        str(path.relative_to(root)): hashlib.md5(path.read_bytes()).hexdigest() for path in files
    }


def film(seed, number, seconds=20, size=(96, 64)):
    """Frames of an operation at 1 fps, float32 [seconds, height, width, 3], and its timeline."""
    rng = np.random.default_rng([seed, number])
    timeline = make_timeline(rng, seconds)
    endoscope = Endoscope(rng, size, timeline)
    frames = [endoscope.frame(index) for index in range(0, endoscope.count, SOURCE_FPS)]
    return np.float32(frames), timeline


# --- files ----------------------------------------------------------------------------------------


def test_folder_holds_exactly_the_official_files_and_a_note(dataset):
    names = sorted(str(p.relative_to(dataset)) for p in dataset.rglob("*") if p.is_file())
    expected = ["synthetic.json"]
    for number in ("01", "02", "03"):
        expected.append(f"videos/video{number}.mp4")
        expected.append(f"phase_annotations/video{number}-phase.txt")
        expected.append(f"tool_annotations/video{number}-tool.txt")
    assert names == sorted(expected)
    assert not list((dataset / "videos").glob(".*"))


def test_videos_decode_at_25_fps_with_one_phase_row_a_frame(dataset):
    lengths = set()
    for video in sorted((dataset / "videos").iterdir()):
        capture = cv2.VideoCapture(str(video))
        assert capture.get(cv2.CAP_PROP_FPS) == SOURCE_FPS
        frames = 0
        while (read := capture.read())[0]:
            assert read[1].shape == (48, 64, 3)
            frames += 1
        header, rows = read_table(dataset / "phase_annotations" / f"{video.stem}-phase.txt")
        assert header == ["Frame", "Phase"]
        assert [int(row[0]) for row in rows] == list(range(frames))
        lengths.add(frames)
    assert len(lengths) > 1, "operations differ in length"


def test_tools_have_one_row_every_25_frames_of_zeros_and_ones(dataset):
    for path in sorted((dataset / "phase_annotations").iterdir()):
        frames = len(read_table(path)[1])
        tool_file = path.name.replace("phase", "tool")
        header, rows = read_table(dataset / "tool_annotations" / tool_file)
        assert header == ["Frame", *TOOLS]
        assert [int(row[0]) for row in rows] == list(range(0, frames, 25))
        assert {value for row in rows for value in row[1:]} == {"0", "1"}


def test_videos_show_what_was_rendered(dataset):
    """What is decoded from the file is, but for compression, what the renderer drew."""
    rng = np.random.default_rng([0, 2])
    endoscope = Endoscope(rng, SMALL["size"], make_timeline(rng, SMALL["seconds"]))
    capture = cv2.VideoCapture(str(dataset / "videos" / "video02.mp4"))
    drawn = np.float32([endoscope.frame(index) for index in range(endoscope.count)])
    decoded = np.float32([capture.read()[1] for _ in drawn])
    assert np.abs(drawn - decoded).mean() < 6
    assert np.abs(drawn[25:] - decoded[:-25]).mean() > 10, "and not that of another second"


# --- the course of an operation -------------------------------------------------------------------


def timelines(count=40, seconds=90):
    return [make_timeline(np.random.default_rng([7, n]), seconds) for n in range(count)]


def test_phases_come_once_and_in_surgical_order():
    orders = Counter()
    for timeline in timelines():
        changes = [
            p for i, p in enumerate(timeline.phases) if i == 0 or timeline.phases[i - 1] != p
        ]
        orders[tuple(PHASES.index(phase) for phase in changes)] += 1
    assert set(orders) == {(0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 3, 4, 6)}
    assert orders.most_common(1)[0][0] == (0, 1, 2, 3, 4, 5, 6)


def test_phases_and_operations_have_unequal_realistic_lengths():
    all_timelines = timelines()
    seconds = Counter(phase for timeline in all_timelines for phase in timeline.phases)
    longest = [phase for phase, _ in seconds.most_common(2)]
    assert longest == ["CalotTriangleDissection", "GallbladderDissection"]
    lengths = [len(timeline.phases) for timeline in all_timelines]
    assert np.mean(lengths) == pytest.approx(90, rel=0.1)
    assert max(lengths) > 1.2 * min(lengths)


def test_tools_go_with_phases():
    shown = {phase: [] for phase in PHASES}
    for timeline in timelines():
        for phase, row in zip(timeline.phases, timeline.tools, strict=True):
            shown[phase].append(row)
    for phase, rows in shown.items():
        found, expected = np.mean(rows, 0), np.array(TOOL_SHARES[phase])
        np.testing.assert_array_equal(found > 0, expected > 0, err_msg=phase)
        np.testing.assert_allclose(found, expected, atol=0.15, err_msg=phase)
    every = np.concatenate([*shown.values()])
    assert 0.02 < (every.sum(1) == 0).mean() < 0.3, "now and then nothing is in view"


def test_progress_and_visibility_follow_the_annotation():
    timeline = timelines(1)[0]
    start = timeline.phases.index("ClippingCutting")
    length = timeline.phases.count("ClippingCutting")
    assert timeline.progress(start) == 0
    assert timeline.progress(start + length / 2) == pytest.approx(0.5)
    for second in range(len(timeline.phases)):
        np.testing.assert_array_equal(timeline.shown(second), timeline.tools[second])


# --- looks ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def operations():
    """(frames at 1 fps, phase ids) of sixteen patients."""
    drawn = [film(0, number, seconds=60) for number in range(1, 17)]
    return [(frames, np.array([PHASES.index(p) for p in t.phases])) for frames, t in drawn]


def test_patients_look_different_from_one_another(operations):
    """In the longest phase, colours vary more between patients than between frames of one."""
    calot = PHASES.index("CalotTriangleDissection")
    colours = [frames[phases == calot].mean((1, 2)) for frames, phases in operations]
    between = np.std([colour.mean(0) for colour in colours], axis=0)
    within = np.mean([colour.std(0) for colour in colours], axis=0)
    assert (between > 1.4 * within).all()


def gradients(frame):
    """Where edges of which direction are: a histogram of 9 directions in 8 × 8 places."""
    grey = cv2.cvtColor(np.uint8(frame), cv2.COLOR_BGR2GRAY).astype(np.float32)
    right, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    direction = np.int32(np.arctan2(down, right) % np.pi / np.pi * 9) % 9
    strength = np.hypot(right, down)
    maps = [
        cv2.resize(strength * (direction == d), (8, 8), interpolation=cv2.INTER_AREA)
        for d in range(9)
    ]
    return np.sqrt(np.ravel(maps) / np.sum(maps))


def test_phases_are_told_by_structure_across_patients(operations):
    """On new patients, a linear probe on edges beats chance and one on mean colours by far."""
    phases = np.concatenate([phases for _, phases in operations])
    patient = np.repeat(np.arange(len(operations)), [len(phases) for _, phases in operations])

    def recall(features):
        probe = make_pipeline(StandardScaler(), RidgeClassifier(alpha=300))
        features = np.concatenate(features)
        scores = cross_val_score(
            probe, features, phases, groups=patient, cv=GroupKFold(4), scoring="balanced_accuracy"
        )
        return scores.mean()

    by_structure = recall([[gradients(frame) for frame in frames] for frames, _ in operations])
    by_colour = recall([frames.mean((1, 2)) for frames, _ in operations])
    assert by_structure > 3 / 7
    assert by_structure > by_colour + 1 / 7


# --- determinism and resumption -------------------------------------------------------------------


def test_a_video_depends_on_seed_and_number_alone(dataset, tmp_path):
    make_dataset(tmp_path / "same", num_videos=1, workers=1, **SMALL)
    make_dataset(tmp_path / "other", num_videos=1, seed=1, workers=1, **SMALL)
    reference = digests(dataset)
    same, other = digests(tmp_path / "same"), digests(tmp_path / "other")
    assert len(same) == 3
    assert same == {name: reference[name] for name in same}
    assert not set(other.values()) & set(reference.values())
    assert len(set(reference.values())) == 9, "no two patients alike"


def test_only_missing_videos_are_rendered(dataset):
    before = digests(dataset)
    times = {p.name: p.stat().st_mtime_ns for p in dataset.rglob("video*") if p.is_file()}
    (dataset / "videos" / "video02.mp4").unlink()
    half_written = dataset / "videos" / ".part-video02.mp4"
    half_written.write_bytes(b"half")
    make_dataset(dataset, num_videos=3, workers=1, **SMALL)
    assert digests(dataset) == before
    assert not half_written.exists()
    for path in dataset.rglob("video*"):
        if path.is_file():
            untouched = path.stat().st_mtime_ns == times[path.name]
            assert untouched == ("video02" not in path.name), path


def test_videos_of_other_settings_are_not_mixed(dataset, tmp_path):
    before = digests(dataset)
    with pytest.raises(InputError, match="use another folder"):
        make_dataset(dataset, num_videos=4, seed=5, **SMALL)
    assert digests(dataset) == before
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "video01.mp4").write_bytes(b"a real operation")
    with pytest.raises(InputError, match="not rendered"):
        make_dataset(tmp_path, num_videos=1, **SMALL)
    assert (tmp_path / "videos" / "video01.mp4").read_bytes() == b"a real operation"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_videos": 0}, "num_videos is 0; expected at least 1 and at most 99"),
        ({"num_videos": 100}, "num_videos is 100; "),
        ({"seed": -1}, "seed is -1; "),
        ({"seconds": 3}, "seconds is 3; "),
        ({"size": (16, 16)}, r"size is \(16, 16\); "),
        ({"size": (65, 48)}, r"size is \(65, 48\); .* even"),
        ({"workers": 0}, "workers is 0; "),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path, wrong, message):
    with pytest.raises(InputError, match=message):
        make_dataset(tmp_path / "new", **{"num_videos": 1, **SMALL, **wrong})
    assert not (tmp_path / "new").exists()
