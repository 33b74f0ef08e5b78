"""`make proof-real` on rendered miniatures in the layouts of the public archives."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.support import polyp_archives
from tests.support.places import ROOT

ARCHIVES = ("polypgen", "kvasir_seg", "cvc_clinicdb", "endotect", "neopolyp")
TINY = (
    *("steps=2", "batch_size=4", "checkpoint_every=2", "log_every=1", "probe_every=0"),
    *("model.hidden_dim=8", "model.output_dim=8", "model.num_prototypes=8"),
    *("views.focal_size=8", "views.focal_views=1", "compile_with_xla=False"),
)


def proof(folder, *arguments, without=()):
    """(exit code, what it printed) of the target, on archives in a folder."""
    stamp = folder.with_name("requirements.installed")  # those of this Python are
    stamp.touch()
    variables = {
        **{name.upper(): folder / "some archives" / name for name in ARCHIVES},
        **{"PY": sys.executable, "RUN": stamp, "REAL": folder / "proof", "SIZE": 16},
        "PRETRAIN": " ".join(f"--config.{one}" for one in TINY),
        "PROBE": "--seeds 0 --fractions 0.1 1.0",
        "SEQUENCES": folder / "sequences.csv",
    }
    words = [f"{name}={value}" for name, value in variables.items() if name not in without]
    made = subprocess.run(
        ["make", "proof-real", *words, *arguments],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    return made.returncode, made.stdout + made.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("proof real")
    for name in ARCHIVES:
        getattr(polyp_archives, f"make_{name}")(folder / "some archives" / name)
    polyp_archives.write_sequences(folder / "sequences.csv")
    shutil.copytree(ROOT / "tests" / "golden" / "encoders" / "hf-vit-msn", folder / "an encoder")
    code, output = proof(folder, *encoders(folder))
    assert code == 0, output[-3000:]
    return folder, output


def encoders(folder):
    """What adds a general encoder, and a teacher: that of another family."""
    return f"GENERAL={folder / 'an encoder'}@mean", f"TEACHER={folder / 'an encoder'}"


def test_the_tables_are_what_the_probes_have_measured(made):
    folder, output = made
    text = (folder / "proof" / "table.md").read_text()
    assert text in output
    found = {
        "crops": json.loads((folder / "proof" / "neopolyp_crops.json").read_text()),
        "whole frames": json.loads((folder / "proof" / "neopolyp.json").read_text()),
    }
    with (folder / "proof" / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["features"] for row in rows} == {
        *("random", "random_mean", "msn", "msn_mean", "taught", "taught_mean"),
        *("colours", "thumbnail", "general", "general+msn", "general+taught"),
    }
    assert len(rows) == 2 * 2 * 11
    for row in rows:
        content = found[row["task"]]
        measured = content["rows"][row["features"]][row["labels"]]
        assert float(row["auc"]) == measured["auc"]
        assert [float(row["low"]), float(row["high"])] == measured["interval"]
        assert float(row["by"]) == measured["by"]
        assert (row["images"], row["groups"]) == ("24", "12")
        assert row["difference_to"] == ("general" if "+" in row["features"] else "random")
        low, high = measured["interval"]
        assert f"{measured['auc']:.3f} [{low:.3f}, {high:.3f}]" in text
        less, more = measured["difference"]
        if row["features"] != "random":
            assert f"{measured['by']:+.3f} [{less:+.3f}, {more:+.3f}]" in text
    first = text.split("\n\n")[1].splitlines()
    columns = "crops, 10 % of the labels | crops, all labels | whole frames, all labels"
    assert first[0] == f"| features | {columns} |"
    of = (("crops", "0.1"), ("crops", "1.0"), ("whole frames", "1.0"))
    expected = [found[task]["rows"]["msn"][share]["auc"] for task, share in of]
    (line,) = [line for line in first if line.startswith("| MSN from scratch, CLS |")]
    assert [float(value) for value in re.findall(r"\| (0\.\d+) \[", line)] == [
        round(value, 3) for value in expected
    ]
    assert "crops: 24 images in 12 groups" in text
    assert "| the general encoder and MSN with a teacher, CLS side by side, to the general" in text


def test_pre_training_has_seen_every_source_and_no_labelled_image(made):
    folder, _ = made
    config = json.loads((folder / "proof" / "msn" / "config.json").read_text())
    names = [root.rpartition("/")[2] for root in config["data"]["root"]]
    assert names == ["polypgen", "kvasir_seg", "cvc_clinicdb", "endotect", "neopolyp"]
    assert config["data"]["exclude_videos"] == ["neopolyp_train_*"]
    last = (folder / "proof" / "msn" / "metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["step"] == 2
    taught = json.loads((folder / "proof" / "taught" / "config.json").read_text())
    assert taught.pop("teacher") == str(folder / "an encoder")
    assert config.pop("teacher") is None
    different = {key for key in config if config[key] != taught[key]}
    assert different <= {"workdir"}, different


def test_without_them_nothing_is_taught_and_no_general_encoder_is_measured(made):
    code, output = proof(made[0], "--dry-run")
    assert code == 0
    assert "/msn/encoder" in output
    assert not re.search("taught|teacher|general", output)


def test_again_it_goes_on_and_changes_nothing(made):
    folder, _ = made
    before = (folder / "proof" / "table.csv").read_bytes()
    shutil.rmtree(folder / "proof" / "features")
    (folder / "proof" / "neopolyp.json").unlink()
    code, output = proof(folder, *encoders(folder))
    assert code == 0, output[-3000:]
    assert (folder / "proof" / "table.csv").read_bytes() == before
    assert output.count("of the same features, labels and seeds; kept") == 1


def test_what_is_missing_or_another_archive_is_said_before_anything_is_made(tmp_path):
    for name in ARCHIVES:
        getattr(polyp_archives, f"make_{name}")(tmp_path / "some archives" / name)
    code, output = proof(tmp_path, without=("ENDOTECT",))
    assert code == 2
    assert "error: ENDOTECT is missing; expected make proof-real with POLYPGEN" in output
    code, output = proof(tmp_path, f"NEOPOLYP={tmp_path / 'some archives' / 'polypgen'}")
    assert code == 2
    assert "no file like train/0081835cf877e004e8bfb905b78a9139.jpeg in it" in output
    (tmp_path / "sequences.csv").write_text("image,polyp\n")
    code, output = proof(tmp_path)
    assert code == 2
    assert "sequences.csv: no column 'sequence' in 'image,polyp'" in output
    (tmp_path / "there.onnx").touch()  # of a teacher all features are taken
    for wrong in ("GENERAL=an encoder.onnx@mean", f"TEACHER={tmp_path / 'there.onnx'}@mean"):
        code, output = proof(tmp_path, wrong)
        assert code == 2
        assert ".onnx@mean: no such file or folder; expected an encoder" in output
    assert not (tmp_path / "proof").exists()
