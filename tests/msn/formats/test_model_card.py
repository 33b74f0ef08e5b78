"""The cards of encoders that are trained or converted here, read as the Hub reads them."""

import json
import re

import pytest

from msn.convert import convert
from msn.encoders import load_encoder, save_encoder
from msn.formats.model_card import licence_beside
from msn.networks.encoder import create_encoder
from msn.pretrain import pretrain
from tests.support.places import GOLDEN
from tests.support.small_msn import VARIANT, small_config

pytestmark = pytest.mark.usefixtures("eager")


def card(folder):
    """(Values of the head by key, the rest); lists as lists."""
    text = (folder / "README.md").read_text()
    head, rest = re.fullmatch(r"---\n(.*?)\n---\n(.*)", text, re.S).groups()
    values = dict(re.findall(r"^(\w+): (\S+)$", head, re.M))
    return values | {"tags": re.findall(r"^- (\S+)$", head, re.M)}, rest


def test_a_run_says_what_it_trained_on_what(small_dataset, tmp_path):
    assert pretrain(small_config(small_dataset, steps=1), tmp_path / "run")
    head, text = card(tmp_path / "run" / "encoder")
    assert head == {
        **{"license": "unknown", "library_name": "keras"},
        "pipeline_tag": "image-feature-extraction",
        "tags": ["endoscopy", "self-supervised-learning", "msn"],
    }
    for said in (
        "# Encoder for endoscopic frames\n",
        "| method | MSN (arXiv 2204.07141), 1 steps, target network |",
        "2 blocks of width 12, 2 heads, patches of 8 pixels",
        "| data | 1 dataset of endoscopic frames |",
        "| videos seen | 4 |",
        "resized to 16x16, RGB in 0..1 less (0.485, 0.456, 0.406), over (0.229, 0.224, 0.225)",
        'encoder = load_encoder("path/to/this/folder")',
        "has to set `license`",
    ):
        assert said in text
    for name in (small_dataset.name, str(small_dataset.parent), "video01"):
        assert name not in text


def test_scores_of_probes_are_told_with_their_protocol(small_dataset, tmp_path):
    config = small_config(
        small_dataset,
        steps=2,
        probe_every=1,
        probe__train_videos=("video01", "video02"),
        probe__test_videos=("video04",),
        data__exclude_videos=("video04",),
    )
    folder = pretrain(config, tmp_path / "run")
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    for encoder in (folder, convert(folder, tmp_path / "hf", "hf")[0]):
        rows = card(encoder)[1].splitlines()
        for name in ("source_knn", "knn_accuracy", "knn_macro_f1"):
            (row,) = [row for row in rows if row.startswith(f"| {name} |")]
            assert row.startswith(f"| {name} | {last[name]:.3f} | 2 | ")
            assert "video0" not in row
        assert "phases by the vote of 20 nearest neighbours among " in row
        assert " frames of 2 videos, over all of " in row
        assert " frames of 1 video that pre-training has not seen |" in row
        (row,) = [row for row in rows if row.startswith("| source_knn |")]
        assert "tell which of 3 videos they are from; by chance 0.333;" in row


def test_frozen_encoders_have_cards_and_keep_their_authors(tmp_path):
    origin = {"videos": ["a", "b"], "licence": "mit"}
    source, _ = convert(
        save_encoder(create_encoder(VARIANT, 16), tmp_path / "source", origin),
        tmp_path / "exported",
        "saved_model",
    )
    head, text = card(source)
    assert (head["library_name"], head["license"]) == ("keras", "mit")
    assert "| videos seen | 2 |" in text and "2 blocks of width 12" in text
    copy = save_encoder(load_encoder(source), tmp_path / "copy", {})
    assert (copy / "README.md").read_text() == (source / "README.md").read_text()
    (source / "README.md").unlink()
    text = card(save_encoder(load_encoder(source), tmp_path / "again", origin))[1]
    assert "| network | in a SavedModel, frozen; representations of width 12 |" in text
    assert "resized to 16x16; the rest is in a SavedModel or beside it |" in text


@pytest.mark.parametrize("output_format, library", [("encoder", "keras"), ("hf", "transformers")])
def test_the_licence_of_the_weights_goes_along(output_format, library, tmp_path):
    source = save_encoder(create_encoder(VARIANT, 16), tmp_path / "source", {"videos": ["a", "b"]})
    text = (source / "README.md").read_text()
    (source / "README.md").write_text(text.replace("license: unknown", "license: cc-by-nc-4.0"))
    folder, _ = convert(source, tmp_path / "converted", output_format)
    head, text = card(folder)
    assert (head["license"], head["library_name"]) == ("cc-by-nc-4.0", library)
    for said in (
        *("| videos seen | 2 |", "| weights from | another encoder |"),
        "| their licence | cc-by-nc-4.0 |",
    ):
        assert said in text
    assert "has to set" not in text
    again, _ = convert(folder, tmp_path / "again", "encoder")
    assert licence_beside(again) == "cc-by-nc-4.0"


def test_what_is_not_known_is_said(tmp_path):
    folder, _ = convert(GOLDEN / "encoders" / "hf-dinov2", tmp_path / "dinov2", "encoder")
    head, text = card(folder)
    assert (head["license"], head["tags"]) == ("unknown", ["endoscopy", "self-supervised-learning"])
    for said in (
        "| videos seen | not known |",
        "| weights from | another encoder |",
        "not known |",
    ):
        assert said in text


@pytest.mark.parametrize(
    "text, licence",
    [
        ("---\nlicense: mit\n---\n", "mit"),
        ("---\ntags:\n- a\nlicense: apache-2.0\nother: b\n---\n# x\n", "apache-2.0"),
        ("---\ntags:\n- a\n---\nlicense: mit\n---\n", None),
        ("---\nlicense: unknown\n---\n", None),
        ("# x\nlicense: mit\n", None),
        ("", None),
    ],
)
def test_the_licence_is_the_heads(text, licence, tmp_path):
    (tmp_path / "README.md").write_text(text)
    assert licence_beside(tmp_path) == licence
    assert licence_beside(tmp_path / "model.pth") == licence
