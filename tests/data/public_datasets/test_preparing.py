"""Each public dataset from a miniature of its archive, through prepare.py, to labels and splits."""

import json
import pickle
import re
import shutil

import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.cholec80 import PHASES
from data.dataset.frame_index import load_index
from data.kinds.kinds import KINDS, PUBLIC
from data.public_datasets import preparing
from data.public_datasets.multibypass140 import find_multibypass140
from tests.support import public_archives
from tests.support.prepared import prepare


def make(tmp_path, name):
    return getattr(public_archives, f"make_{name}")(tmp_path / "downloads" / name)


def prepared(tmp_path, name, *arguments, archive=None):
    """(index, splits.json) of a dataset that prepare.py has made without any problem."""
    archive = archive or make(tmp_path, name)
    code, output, errors = prepare(
        tmp_path / "datasets", f"--dataset={name}", f"--archive={archive}", *arguments
    )
    assert code == 0, (output, errors)
    root = tmp_path / "datasets" / name
    return load_index(root), json.loads((root / "splits.json").read_text())


def labels(index, video):
    """Names of phases by frame of a video, None where there is none."""
    rows = index.video == index.videos.index(video)
    return [index.classes.phases[p] if p >= 0 else None for p in index.phase[rows]]


def present(index, video, group):
    """Names of a group that are present, by frame of a video; None where that is not known."""
    names = np.array(index.classes.multi_label[group])
    rows = index.presence[group][index.video == index.videos.index(video)]
    return [None if (row < 0).all() else names[row == 1].tolist() for row in rows]


def videos(manifest, protocol, part):
    return manifest["protocols"][protocol][part]["videos"]


def test_the_command_knows_all_of_them(tmp_path):
    _, help_text, _ = prepare(tmp_path / "datasets", "--help")
    (shown,) = re.findall(r"--dataset=(cholec80\S*)", help_text)
    assert set(shown.split("|")) == {*KINDS}
    assert {*preparing.FIND} == {*PUBLIC}


def test_cholect50(tmp_path):
    index, manifest = prepared(tmp_path, "cholect50")
    assert index.videos == ("VID01", "VID110")
    assert index.frame.tolist() == [1, 2, 3, 1]
    assert index.classes.phases == PHASES
    assert {g: len(names) for g, names in index.classes.multi_label.items()} == {
        **{"tools": 6, "verbs": 10, "targets": 15}
    }
    assert labels(index, "VID01") == ["Preparation", "CalotTriangleDissection", None]
    assert present(index, "VID01", "tools") == [[], ["grasper", "hook"], []]
    assert present(index, "VID01", "verbs") == [[], ["retract", "dissect"], []]
    assert present(index, "VID01", "targets") == [[], ["gallbladder", "cystic_duct"], []]
    assert manifest["default"] == "cholect50-crossval-1"
    assert videos(manifest, "cholect50-crossval-1", "train") == ["VID110"]
    assert videos(manifest, "cholect50-crossval-1", "validation") == ["VID01"]
    assert videos(manifest, "cholect50-crossval-5", "test") == ["VID01"]
    assert videos(manifest, "cholect50-challenge", "test") == ["VID110"]
    assert videos(manifest, "cholect50", "train") == ["VID01", "VID110"]


@pytest.mark.parametrize(("name", "count"), [("cholect45", 45), ("cholect50", 50)])
def test_a_split_of_cholect_has_each_video_once(tmp_path, name, count):
    protocols = preparing.FIND[name](make(tmp_path, name)).protocols
    for split in protocols.values():
        names = [video for part in split.values() for video in part]
        assert len(names) == len(set(names)) == count
        assert len(split["validation"]) == 5


def test_cholect45(tmp_path):
    index, manifest = prepared(tmp_path, "cholect45")
    assert index.videos == ("VID79",)
    assert labels(index, "VID79") == [None, None]
    assert present(index, "VID79", "tools") == [["grasper"], ["irrigator"]]
    assert present(index, "VID79", "verbs") == [["retract"], ["irrigate"]]
    assert present(index, "VID79", "targets") == [["liver"], []]
    assert videos(manifest, "cholect45-crossval-1", "test") == ["VID79"]


def test_m2cai16_from_a_zip(tmp_path):
    folder = make(tmp_path, "m2cai16")
    archive = shutil.make_archive(str(tmp_path / "m2cai16-workflow"), "zip", folder)
    shutil.rmtree(folder)
    index, manifest = prepared(tmp_path, "m2cai16", archive=archive)
    assert index.videos == ("test_workflow_video_01", "workflow_video_01")
    assert index.classes.phases == ("TrocarPlacement", *PHASES)
    for video in index.videos:
        assert labels(index, video) == ["TrocarPlacement", "Preparation", "GallbladderRetraction"]
    assert videos(manifest, "27/14", "train") == ["workflow_video_01"]
    assert videos(manifest, "27/14", "test") == ["test_workflow_video_01"]
    assert len(manifest["protocols"]["27/14"]["train"]["absent"]) == 26


def test_heichole(tmp_path):
    index, manifest = prepared(tmp_path, "heichole")
    assert index.videos == ("Hei-Chole1", "Hei-Chole16")
    for video in index.videos:  # 25 and 50 frames a second
        assert labels(index, video) == list(PHASES[4:])
        assert present(index, video, "tools") == [["Grasper"], ["UndefinedShaft"], ["Stapler"]]
        assert present(index, video, "actions") == [[], ["hold"], []]
    assert list(manifest["protocols"]) == ["70/10/20 by video"]


def test_autolaparo(tmp_path):
    index, manifest = prepared(tmp_path, "autolaparo")
    assert index.videos == ("autolaparo_01", "autolaparo_15")
    names = ["Specimen Removal", "Suturing", "Washing"]
    assert labels(index, "autolaparo_01") == names
    assert labels(index, "autolaparo_15") == names[:2]
    assert len(index.classes.phases) == 7
    assert videos(manifest, "10/4/7", "train") == ["autolaparo_01"]
    assert videos(manifest, "10/4/7", "test") == ["autolaparo_15"]


def test_multibypass140(tmp_path):
    index, manifest = prepared(tmp_path, "multibypass140", "--fps=2")
    assert index.videos == ("BBP01", "BBP02", "BBP03", "SBP01", "SBP02", "SBP03")
    first, second = "preparation", "jejunojejunal_anastomosis"
    assert labels(index, "SBP02") == [first] * 3 + [second] * 4 + [None]  # up to 3.4 s
    steps = present(index, "SBP02", "steps")
    assert steps[:4:2] == [["trocar_placement"]] * 2
    assert steps[4] == ["specimen_retrieval"]
    assert present(index, "SBP02", "events")[:5:2] == [[], ["out_of_body"], []]
    assert (len(index.classes.phases), len(index.classes.multi_label["steps"])) == (12, 46)
    assert videos(manifest, "fold 0", "train") == ["BBP01", "SBP01"]
    assert videos(manifest, "fold 0", "validation") == ["BBP02", "SBP02"]
    assert videos(manifest, "fold 0", "test") == ["BBP03", "SBP03"]


def test_nothing_in_a_pickle_is_run(tmp_path):
    root = make(tmp_path, "multibypass140")
    file = next(root.rglob("test/1fps_0.pickle"))
    file.write_bytes(pickle.dumps(print))
    with pytest.raises(InputError, match=r"builtins\.print in it; expected a dictionary of videos"):
        find_multibypass140(root)


def test_cataract101(tmp_path):
    index, manifest = prepared(tmp_path, "cataract101")
    assert index.videos == ("case_269", "case_270")
    viscous = "Viscous agent injection"
    assert labels(index, "case_269") == [None, "Incision", "Incision", viscous]  # 68 / 25 = 2.72 s
    assert labels(index, "case_270") == ["Hydrodissection"] * 3  # Rhexis is from 2.04 s on
    assert videos(manifest, "51/10/40", "train") == ["case_269", "case_270"]


def test_a_second_call_changes_nothing_and_the_dataset_stands_alone(tmp_path):
    archive = make(tmp_path, "cholect50")
    before, manifest = prepared(tmp_path, "cholect50", archive=archive)
    after, same = prepared(tmp_path, "cholect50", archive=archive)
    assert (after.phase.tolist(), same) == (before.phase.tolist(), manifest)
    shutil.rmtree(archive)
    code, output, errors = prepare(tmp_path / "datasets", "--name=cholect50")
    assert code == 0, (output, errors)
    root = tmp_path / "datasets" / "cholect50"
    assert json.loads((root / "splits.json").read_text()) == manifest
    assert load_index(root).phase.tolist() == before.phase.tolist()


def test_what_cannot_be_used_is_said(tmp_path):
    root, other = tmp_path / "datasets", make(tmp_path, "autolaparo")
    for arguments, message in (
        (["--dataset=cholect50"], "--dataset=cholect50: needs --archive"),
        (["--dataset=m2cai16", f"--archive={other}"], "no file like workflow_video_01.mp4 in it"),
        (["--dataset=m2cai16", f"--archive={tmp_path / 'gone'}"], "no such file or folder"),
        (["--dataset=heichole", f"--archive={other}", "--seed=3"], "--seed: without effect"),
    ):
        code, output, errors = prepare(root, *arguments)
        assert (code, message in errors) == (2, True), (output, errors)


def test_frames_have_one_rate(tmp_path):
    archive = make(tmp_path, "cholect50")
    code, _, errors = prepare(
        tmp_path / "datasets", "--dataset=cholect50", f"--archive={archive}", "--fps=5"
    )
    assert code == 2
    assert "cholect50 is frames at 1 fps; expected --fps=1" in errors


@pytest.mark.parametrize("name", ["autolaparo", "cholect50", "heichole", "multibypass140"])
def test_damaged_annotations_name_their_file(tmp_path, name):
    root = make(tmp_path, name)
    suffix = {"autolaparo": "label_01.txt", "heichole": "Hei-Chole1_Annotation_Phase.csv"}
    file = next(root.rglob(suffix.get(name, "*.json")))
    file.write_text("{" if file.suffix == ".json" else "a\n0,99\n")
    code, _, errors = prepare(tmp_path / "datasets", f"--dataset={name}", f"--archive={root}")
    assert (code, file.name in errors) == (2, True), errors
