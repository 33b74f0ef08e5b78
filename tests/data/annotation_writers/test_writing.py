"""What is written is read again as the same labels of frames, in each format."""

import csv
import datetime
import itertools
import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from data.annotation_formats.label_studio import open_label_studio, read_label_studio
from data.annotation_writers.intervals import Interval, VideoIntervals, floored, look_first
from data.annotation_writers.writing import WRITERS, check_folder, write_annotations
from data.common.errors import InputError
from data.dataset.audit import Audit
from data.dataset.extraction_log import write_log
from data.dataset.frame_index import load_index
from data.indexing.building import build_index
from tests.data.indexing.test_building import write_frames

FPS = 3.0  # frames are at thirds of a second, which no format writes
PHASES = ("Zugang", "Präparation & Naht", 'Pause "kurz"')


def frames_of(root, videos, frames, fps=FPS):
    for video in videos:
        write_frames(root, video, range(1, frames + 1))
    write_log(
        root / "frames", {"fps": fps, "format": "png", "quality": 95, "size": 0, "videos": {}}
    )


def runs(video, labels, names, group="phase"):
    """The intervals of labels, int [n], of frames at FPS; those of -1 are left out."""
    edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    intervals = tuple(
        Interval(a / FPS, b / FPS, names[labels[a]], 0.5 + 0.01 * a)
        for a, b in itertools.pairwise(edges)
        if labels[a] >= 0
    )
    return VideoIntervals(video, "", group, names, intervals)


@pytest.mark.parametrize("form", WRITERS)
def test_phases_are_read_as_the_same_labels_of_frames(tmp_path, form):
    random = np.random.default_rng(3)
    labels = {
        video: np.repeat(random.permutation([0, 1, 2, -1, 1, 0]), [1, 7, 2, 5, 1, 20])
        for video in ("op 1", "Öp_2")
    }
    frames_of(tmp_path, labels, 36)
    said = [runs(video, values, PHASES) for video, values in labels.items()]
    write_annotations(tmp_path / "annotations", form, said)
    audit = build_index(tmp_path)
    assert not audit.problems
    index = load_index(tmp_path)
    for video, values in labels.items():
        found = index.select(videos=(video,)).phase
        names = [index.classes.phases[k] if k >= 0 else "" for k in found]
        assert names == [PHASES[k] if k >= 0 else "" for k in values]


@pytest.mark.parametrize("group", ["tools", "Blood & smoke"])
@pytest.mark.parametrize("form", WRITERS)
def test_classes_of_which_several_hold_are_no_phases(tmp_path, form, group):
    names = ("Grasper", "Hook")
    presence = np.array([[0, 1, 1, 0, 0, 0, 1, 1, 0], [0, 0, 1, 1, 0, 0, 0, 1, 1]])
    intervals = sorted(
        (
            each
            for row, name in zip(presence, names, strict=True)
            for each in runs("op1", np.where(row, 0, -1), (name,)).intervals
        ),
        key=lambda each: each.start,
    )
    frames_of(tmp_path, ("op1", "op2"), 9)
    of = VideoIntervals("op1", "", group, names, tuple(intervals))
    without = VideoIntervals("op2", "", group, names, ())  # both are absent in it, all the time
    write_annotations(tmp_path / "annotations", form, [of, without])
    assert not build_index(tmp_path).problems
    index = load_index(tmp_path)
    assert (index.phase == -1).all()
    columns = [index.classes.multi_label[group].index(name) for name in names]
    expected = np.concatenate([presence.T, np.zeros((9, 2))])
    np.testing.assert_array_equal(index.presence[group][:, columns], expected)


def test_the_least_certain_is_ranked_first_over_all_videos(tmp_path):
    videos = [
        VideoIntervals("a", "", "phase", PHASES, (Interval(0, 5, "Zugang", 0.9),)),
        VideoIntervals(
            "b",
            "",
            "phase",
            PHASES,
            (Interval(0, 5, "Zugang", 0.8), Interval(5, 9, PHASES[1], 0.4)),
        ),
    ]
    assert look_first(videos) == {(1, 1): 1, (1, 0): 2, (0, 0): 3}
    write_annotations(tmp_path / "csv", "csv", videos)
    with (tmp_path / "csv" / "b.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["look_first"], row["confidence"], row["labelled_by"]) for row in rows] == [
        ("2", "0.800", "model"),
        ("1", "0.400", "model"),
    ]
    write_annotations(tmp_path / "ls", "label-studio", videos)
    tasks = json.loads((tmp_path / "ls" / "label_studio.json").read_text(encoding="utf-8"))
    assert [task["predictions"][0]["score"] for task in tasks] == [0.9, 0.4]
    write_annotations(tmp_path / "elan", "elan", videos)
    texts = (tmp_path / "elan" / "b.eaf").read_text(encoding="utf-8")
    assert "40%, to look at: 1<" in texts
    assert 'ANNOTATOR="model"' in texts


def test_label_studio_is_told_every_class_and_the_rate_of_its_frames(tmp_path):
    intervals = (Interval(0, 1 / 3, "Zugang", 0.5), Interval(1 / 3, 2, PHASES[1], 0.5))
    of = VideoIntervals("op 1", "/recordings/day 2/op 1.mkv", "phase", PHASES, intervals)
    write_annotations(tmp_path, "label-studio", [of])
    (task,) = json.loads((tmp_path / "label_studio.json").read_text(encoding="utf-8"))
    assert task["data"] == {
        "video": "/data/local-files/?d=day%202/op%201.mkv",
        "frame_rate": 30,
        "track": "phase",
    }
    ranges = [result["value"]["ranges"] for result in task["predictions"][0]["result"]]
    assert ranges == [[{"start": 1, "end": 10}], [{"start": 11, "end": 60}]]
    view = ElementTree.parse(tmp_path / "labelling_configuration.xml").getroot()
    assert [label.get("value") for label in view.iter("Label")] == list(PHASES)
    assert view.find("Video").get("frameRate") == "$frame_rate"
    assert view.find("TimelineLabels").get("name") == "phase"


@pytest.mark.parametrize("fps", [25, 30000 / 1001, 50, 60, 120])
def test_label_studio_has_the_shortest_intervals_too(tmp_path, fps):
    """Each frame another class, as a model may say that nothing smooths."""
    frames = range(200)
    of = [Interval(n / fps, (n + 1) / fps, PHASES[n % 2], 0.5) for n in frames]
    write_annotations(
        tmp_path, "label-studio", [VideoIntervals("op", "", "phase", PHASES, tuple(of))]
    )
    (task,) = open_label_studio(tmp_path / "label_studio.json")
    audit = Audit()
    (labels,) = read_label_studio(tmp_path / "label_studio.json", task, audit)
    found = labels.at(np.array(frames) / fps, labels.fps)
    assert not audit.problems
    assert [labels.names[value] for value in found] == [PHASES[n % 2] for n in frames]


def test_elan_finds_the_video(tmp_path):
    of = VideoIntervals(
        "op1", "/recordings/day 2/op1.mkv", "phase", PHASES, (Interval(0, 5, "Zugang", 0.5),)
    )
    write_annotations(tmp_path, "elan", [of])
    (media,) = ElementTree.parse(tmp_path / "op1.eaf").getroot().iter("MEDIA_DESCRIPTOR")
    assert media.get("MEDIA_URL") == "file:///recordings/day%202/op1.mkv"


def test_boundaries_are_never_behind_a_frame():
    for rate in (1, 3, 7, 24, 25, 30000 / 1001):
        times = np.arange(5000) / rate
        assert all(time - 0.001 < floored(time) <= time + 1e-8 for time in times)


def test_an_annotator_s_work_is_never_written_over(tmp_path):
    of = [VideoIntervals("op1", "", "phase", PHASES, (Interval(0, 5, "Zugang", 0.5),))]
    write_annotations(tmp_path, "csv", of)
    check_folder(tmp_path, "csv")  # as it was written
    with pytest.raises(InputError, match="has csv of the same model; expected another folder for"):
        check_folder(tmp_path, "elan")
    for left in (".DS_Store", ".~lock.op1.csv#", "op1.pfsx", "Thumbs.db", ".hidden/op1.csv"):
        (tmp_path / left).parent.mkdir(exist_ok=True)
        (tmp_path / left).write_text("of a program")
    check_folder(tmp_path, "csv")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "op1_mine.CSV").write_text("video,start,end,phase\nop1,0,4,Zugang\n")
    with pytest.raises(InputError, match=r"op1_mine\.CSV: not what inference has written there"):
        check_folder(tmp_path, "csv")
    (tmp_path / "more" / "op1_mine.CSV").unlink()
    (tmp_path / "op1.csv").write_text("video,start,end,phase\nop1,0,4,Zugang\n")
    with pytest.raises(InputError, match=r"op1\.csv: not what inference has written there"):
        check_folder(tmp_path, "csv")


def test_files_of_videos_that_are_gone_go(tmp_path):
    def of(video):
        return VideoIntervals(video, "", "phase", PHASES, (Interval(0, 5, "Zugang", 0.5),))

    write_annotations(tmp_path, "csv", [of("op1"), of("op2")])
    write_annotations(tmp_path, "csv", [of("op2"), of("op3")])
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["model_intervals.json", "op2.csv", "op3.csv"]
    check_folder(tmp_path, "csv")


@pytest.mark.parametrize("group", ["phase", "Blood & smoke"])
@pytest.mark.parametrize("media", ["", "/rec/Öp 1 (2).mp4"])
def test_elan_is_as_its_schema_has_it(tmp_path, group, media):
    """Facts of http://www.mpi.nl/tools/elan/EAFv2.8.xsd, which says what ELAN opens.

    These files were valid by it, and by EAFv3.0.xsd, when they were checked with xmlschema.
    """
    names = ("Zugang & <Lagerung>", "Naht")
    intervals = tuple(Interval(n, n + 1, names[n % 2], 0.5) for n in range(4))
    write_annotations(tmp_path, "elan", [VideoIntervals("Öp 1", media, group, names, intervals)])
    root = ElementTree.parse(tmp_path / "Öp 1.eaf").getroot()
    assert root.tag == "ANNOTATION_DOCUMENT"
    assert {"AUTHOR", "DATE", "VERSION"} <= set(root.keys())
    datetime.datetime.fromisoformat(root.get("DATE"))
    order = [child.tag for child in root]
    assert order == sorted(order, key=ELAN_ORDER.index)
    assert order[:2] == ["HEADER", "TIME_ORDER"]
    for media_file in root.iter("MEDIA_DESCRIPTOR"):
        assert media_file.get("MEDIA_URL").startswith("file:///")
        assert media_file.get("MIME_TYPE") == "video/mp4"
    keys = {"TIME_SLOT": "TIME_SLOT_ID", "TIER": "TIER_ID", "CONSTRAINT": "STEREOTYPE"}
    keys |= {"LINGUISTIC_TYPE": "LINGUISTIC_TYPE_ID"}
    known = {tag: [one.get(key) for one in root.iter(tag)] for tag, key in keys.items()}
    annotations = [*root.iter("ALIGNABLE_ANNOTATION"), *root.iter("REF_ANNOTATION")]
    known["ANNOTATION"] = [one.get("ANNOTATION_ID") for one in annotations]
    for found in known.values():
        assert len(set(found)) == len(found)
    for tag in ("TIME_SLOT", "ANNOTATION"):  # of the type ID: they begin with a letter
        assert all(re.fullmatch(r"[A-Za-z_][\w.-]*", one) for one in known[tag])
    for slot in root.iter("TIME_SLOT"):
        assert slot.get("TIME_VALUE").isdecimal()
    references = [
        *(
            (one.get(f"TIME_SLOT_REF{n}"), "TIME_SLOT")
            for n in (1, 2)
            for one in root.iter("ALIGNABLE_ANNOTATION")
        ),
        *((one.get("ANNOTATION_REF"), "ANNOTATION") for one in root.iter("REF_ANNOTATION")),
        *((one.get("LINGUISTIC_TYPE_REF"), "LINGUISTIC_TYPE") for one in root.iter("TIER")),
        *((one.get("PARENT_REF", known["TIER"][0]), "TIER") for one in root.iter("TIER")),
    ]
    assert len(annotations) == 8
    for reference, tag in references:
        assert reference in known[tag], (reference, tag)


ELAN_ORDER = ["LICENSE", "HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "LOCALE", "LANGUAGE"]
ELAN_ORDER += ["CONSTRAINT", "CONTROLLED_VOCABULARY", "LEXICON_REF", "EXTERNAL_REF"]


def test_tiers_of_elan_do_not_overlap(tmp_path):
    """And each confidence is of the annotation it is about."""
    names = ("Grasper", "Hook")
    intervals = (
        Interval(0, 5, "Grasper", 0.9),
        Interval(3, 8, "Hook", 0.4),
        Interval(5, 9, "Grasper", 0.6),
    )
    write_annotations(tmp_path, "elan", [VideoIntervals("op1", "", "tools", names, intervals)])
    root = ElementTree.parse(tmp_path / "op1.eaf").getroot()
    times = {
        slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE")) for slot in root.iter("TIME_SLOT")
    }
    about, spans = {}, {}
    for tier in root.iter("TIER"):
        for one in tier.iter("ALIGNABLE_ANNOTATION"):
            span = times[one.get("TIME_SLOT_REF1")], times[one.get("TIME_SLOT_REF2")]
            spans.setdefault(tier.get("TIER_ID"), []).append(span)
            about[one.get("ANNOTATION_ID")] = span
    assert spans == {
        "multi_label_tools / Grasper": [(0, 5000), (5000, 9000)],
        "multi_label_tools / Hook": [(3000, 8000)],
    }
    texts = {
        about[one.get("ANNOTATION_REF")]: one.find("ANNOTATION_VALUE").text
        for one in root.iter("REF_ANNOTATION")
    }
    assert texts == {
        (0, 5000): "90%, to look at: 3",
        (3000, 8000): "40%, to look at: 1",
        (5000, 9000): "60%, to look at: 2",
    }
    kinds = {of.get("LINGUISTIC_TYPE_ID"): of for of in root.iter("LINGUISTIC_TYPE")}
    assert kinds["confidence"].get("CONSTRAINTS") == "Symbolic_Association"
    assert kinds["confidence"].get("TIME_ALIGNABLE") == "false"
