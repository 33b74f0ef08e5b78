"""The cards of encoders that are trained or converted here, read as the Hub reads them."""

import re

import pytest

from msn.convert import convert
from msn.encoders import save_encoder
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
