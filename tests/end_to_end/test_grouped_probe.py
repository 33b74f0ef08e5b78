"""What the numbers of docs/recipes.md are made by."""

import json
import sys

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from data.dataset.audit import Audit
from data.dataset.frame_index import load_index
from data.image_classes.class_folders import prepare_classes
from msn.encoders import load_encoder
from msn.pretrain import pretrain
from msn.workdir.checkpoint_files import checkpoints
from tests.benchmarks import grouped_probe, probed_features
from tests.support.small_msn import small_config
from tests.support.small_polyps import write_image

GROUPS, EACH = 16, 3


def test_the_area_is_that_of_images_that_are_there_several_times():
    draw = np.random.default_rng(0)
    labels, score = draw.integers(0, 2, 60), draw.integers(0, 9, 60) / 9  # with ties
    weights = draw.integers(0, 4, 60)
    rows = np.repeat(np.arange(60), weights)
    expected = roc_auc_score(labels[rows], score[rows])
    assert grouped_probe.area(labels, score, weights) == pytest.approx(expected)


def test_draws_of_one_class_are_left_out_of_an_interval():
    labels, score = np.array([0, 0, 1]), np.array([0.1, 0.2, 0.3])
    assert np.isnan(grouped_probe.area(labels, score, np.array([2, 1, 0])))
    assert grouped_probe.interval([0.5, float("nan"), 0.5]) == [0.5, 0.5]


def test_a_share_is_of_whole_groups_of_both_classes():
    group = np.repeat(np.arange(40), 2)
    labels, rows = (group >= 30).astype(int), np.arange(80)
    some = grouped_probe.labelled(rows, labels, group, 0.2, np.random.default_rng(0))
    drawn = group[some]
    assert all(np.sum(drawn == one) == 2 for one in set(drawn))
    assert (len(set(drawn[drawn < 30])), len(set(drawn[drawn >= 30]))) == (6, 2)
    every = grouped_probe.labelled(rows, labels, group, 1.0, np.random.default_rng(0))
    np.testing.assert_array_equal(every, rows)


def make_set(folder, kind_of=lambda group: ("left", "right")[group % 2], patient_of=None):
    """Images of classes in groups of three, and a table of patients: their data set."""
    rows, patients = ["image,sequence"], ["sequence,patient"]
    for number in range(GROUPS * EACH):
        group = number // EACH
        kind = kind_of(group)
        image = write_image(folder, f"{kind}_{number}")
        (folder / "images" / kind).mkdir(parents=True, exist_ok=True)
        image.rename(folder / "images" / kind / image.name)
        rows.append(f"{kind}/{image.name},g{group}")
        patients += [f"g{group},{patient_of(group)}"] if patient_of and not number % EACH else []
    (folder / "groups.csv").write_text("\n".join(rows) + "\n")
    (folder / "patients.csv").write_text("\n".join(patients) + "\n")
    known = {"patients": folder / "patients.csv"} if patient_of else {}
    prepare_classes(folder / "set", folder / "images", folder / "groups.csv", 0, Audit(), **known)
    return folder / "set"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("classes"))


@pytest.fixture
def probe(monkeypatch, capsys):
    """Runs the command: (exit code, what it printed, what it said was wrong)."""
    monkeypatch.setattr(grouped_probe, "DRAWS", 20)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["grouped_probe", *map(str, words)])
        code = 0
        try:
            grouped_probe.main()
        except SystemExit as ended:
            code = ended.code
        return (code, *capsys.readouterr())

    return run


def write_table(path, root, values_of):
    """A table of features: what a function of the index gives."""
    index = load_index(root)
    names = np.asarray(index.videos)[index.video]
    values = values_of(index).astype("f")
    np.savez(path, embeddings=values, video=names, frame=index.frame)
    return path


def test_images_of_a_patient_are_tested_together(tmp_path, probe):
    root = make_set(tmp_path, patient_of=lambda group: f"p{group // 4}_{group % 2}")

    def of_patient(index):  # by which every image is told, where one of the patient has a label
        number = np.array([int(name[1:]) for name in index.videos])[index.video]
        return np.eye(GROUPS)[2 * (number // 4) + number % 2]

    table = write_table(tmp_path / "said.npz", root, of_patient)
    given = f"--root={root}", "--seeds", 0, 0, "--fractions", 1, "--output", tmp_path / "o/f.json"
    code, printed, errors = probe(f"said={table}", *given)
    assert code == 0, errors
    assert "48 images (left 24, right 24) of 8 patients" in printed
    content = json.loads((tmp_path / "o" / "f.json").read_text())
    assert (content["of"]["groups"], content["of"]["seeds"]) == (8, [0])
    assert content["rows"]["said"]["1.0"]["auc"] < 0.75


def test_groups_of_one_image_are_said(tmp_path, probe):
    folder = tmp_path / "images"
    for number in range(12):
        image = write_image(tmp_path, f"{number}")
        (folder / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        image.rename(folder / "ab"[number % 2] / image.name)
    prepare_classes(tmp_path / "set", folder, None, 0, Audit())
    table = write_table(tmp_path / "n.npz", tmp_path / "set", lambda index: index.label[:, None])
    given = f"--root={tmp_path / 'set'}", "--seeds", 0, "--fractions", 1
    code, printed, errors = probe(f"some name={table}", *given)
    assert code == 0, errors
    assert "12 images (a 6, b 6) of 12 sequences\nevery image is a group of its own" in printed
    assert "100 %  some name" in printed


def test_a_share_without_one_of_the_classes_is_no_score(tmp_path, probe):
    root = make_set(tmp_path, lambda group: "left" if group else "right")
    table = write_table(tmp_path / "n.npz", root, lambda index: index.label[:, None])
    code, _, errors = probe(f"n={table}", f"--root={root}")
    assert code == 2
    assert "of one class; expected a larger share, or more groups of the other class" in errors


def test_three_classes_are_refused(tmp_path, probe):
    root = make_set(tmp_path, lambda group: "abc"[group % 3])
    code, _, errors = probe("n=vitmicro8:16", f"--root={root}")
    assert code == 2
    assert errors.startswith(f"error: {root}: 3 classes (a, b, c); expected two.")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["random"], "random: expected NAME=PATH, or A+B of such names"),
        (["=x"], "=x: expected NAME=PATH, and no + in a name"),
        (["a+b=vitmicro8:16"], "a+b=vitmicro8:16: expected NAME=PATH, and no + in a name"),
        (["a=vitmicro8:16", "a=vitmicro8:16"], "a: given twice; expected each name once"),
        (["a=vitmicro8:16", "a+b"], "a+b: expected NAME=PATH, or A+B of a"),
        (["a=vitmini8:16"], "unknown model variant 'vitmini8'"),
        (["a=missing"], "missing: no such file or folder; expected an encoder, a table"),
        (["a=missing@mean"], "missing@mean: no such file or folder; expected an encoder"),
        (["a=vitmicro8:16", "--fractions", "10"], "--fractions 10; expected shares of labels"),
        (["a=vitmicro8:16", "--fractions", "0"], "--fractions 0; expected shares of labels"),
        (["a=vitmicro8:16"], "missing: "),
    ],
)
def test_what_is_given_wrong_is_one_line(probe, words, said):
    code, printed, errors = probe(*words, "--root=missing")
    assert (code, printed) == (2, "")
    assert errors.startswith("error: ") and errors.count("\n") == 1
    assert said in errors, errors


def test_features_are_what_is_after_the_last_at(tmp_path, monkeypatch):
    folder = tmp_path / "of@two hospitals"
    folder.mkdir()
    assert probed_features.parted(f"{folder}@cls+mean") == (str(folder), "cls+mean")
    assert probed_features.parted(str(folder)) == (str(folder), None)
    monkeypatch.setattr(probed_features, "encoder_path", lambda path: tmp_path)  # of the Hub
    for address in ("hf://owner/name@main", "hf-hub:owner/name"):
        assert probed_features.parted(f"{address}@mean") == (address, "mean")
        assert probed_features.parted(address) == (address, None)


def test_features_that_tell_are_told_from_those_that_do_not(root, tmp_path, monkeypatch, capsys):
    noise = np.random.default_rng(0).normal(size=(GROUPS * EACH, 4)).astype("f")
    made = {"noise": lambda _: noise, "told": lambda index: noise + 3 * index.label[:, None]}
    for name, values_of in made.items():
        write_table(tmp_path / f"{name}.npz", root, values_of)
    tables = [f"{name}={tmp_path / name}.npz" for name in ("noise", "told")]
    given = ["--root", str(root), "--seeds", "0", "1", "--output", str(tmp_path / "found.json")]
    monkeypatch.setattr(sys, "argv", ["grouped_probe", *tables, "noise+told", *given])
    monkeypatch.setattr(grouped_probe, "DRAWS", 50)
    grouped_probe.main()
    printed = capsys.readouterr().out
    assert "48 images (left 24, right 24) of 16 sequences" in printed
    content = json.loads((tmp_path / "found.json").read_text())
    assert (content["of"]["images"], content["of"]["groups"]) == (48, 16)
    found = content["rows"]
    by = found["told"]["1.0"]["auc"] - found["noise"]["1.0"]["auc"]
    assert found["told"]["1.0"]["by"] == pytest.approx(by)
    assert found["noise"]["1.0"]["by"] == 0
    less, more = found["told"]["1.0"]["difference"]
    assert f"to noise {by:+.3f} [{less:+.3f}, {more:+.3f}]" in printed
    assert found["noise"]["1.0"]["auc"] < 0.75
    for name in ("told", "noise+told"):
        for fraction in ("0.25", "1.0"):
            assert found[name][fraction]["auc"] > 0.95
        assert found[name]["1.0"]["difference_to"] == "noise"
        assert found[name]["1.0"]["difference"][0] > 0
        low, high = found[name]["1.0"]["interval"]
        assert low <= found[name]["1.0"]["auc"] <= high
    grouped_probe.main()
    assert "found.json: of the same features, labels and seeds; kept" in capsys.readouterr().out
    write_table(tmp_path / "told.npz", root, lambda _: noise)
    grouped_probe.main()
    assert "kept" not in capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert found["told"]["1.0"]["auc"] == found["noise"]["1.0"]["auc"]


@pytest.mark.usefixtures("eager")
def test_the_encoder_of_a_step_is_that_of_the_run(small_dataset, tmp_path):
    frames = load_index(small_dataset).take(np.arange(56))
    content = {"video": np.array(frames.videos)[frames.video], "second": frames.second}
    values = np.random.default_rng(0).normal(size=(56, 3)).astype(np.float32)
    np.savez(tmp_path / "said.npz", embeddings=values, **content)
    config = small_config(small_dataset, teacher=str(tmp_path / "said.npz"), steps=4)
    assert pretrain(config, tmp_path / "run")
    before, last = checkpoints(tmp_path / "run" / "checkpoints")
    found = probed_features.encoder_in(last).get_weights()
    exported = load_encoder(tmp_path / "run" / "encoder").get_weights()
    assert all(map(np.array_equal, found, exported))
    assert not all(map(np.array_equal, probed_features.encoder_in(before).get_weights(), exported))
