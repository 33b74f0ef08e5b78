"""What encoders have seen, as the files beside them say it."""

import json
import shutil

import pytest

from data.common.errors import InputError
from data.splits.manifest import MANIFEST
from data.splits.parts import PARTS
from msn.convert import convert
from msn.encoders import save_encoder
from msn.formats.model_card import licence_beside
from msn.networks.encoder import create_encoder
from msn.pretrain import pretrain
from msn.workdir.seen import (
    RUN_VIDEOS,
    Seen,
    datasets_in,
    seen_by_run,
    seen_in_json,
    seen_of,
    seen_of_source,
)
from tests.support.small_msn import VARIANT, small_config

OURS = {"method": "MSN", "step": 1, "network": "target", "videos": ["video01", "video02"]}


@pytest.mark.parametrize(
    "head, names",
    [
        ("datasets:\n- imagenet-1k\n- org/cholec80\nlicense: mit", ("imagenet-1k", "org/cholec80")),
        ("license: mit\ndatasets: [a, 'b']", ("a", "b")),
        ("datasets: imagenet-21k", ("imagenet-21k",)),
        ("datasets:\n  - one\ntags:\n- datasets", ("one",)),
        ("license: mit", ()),
    ],
)
def test_data_sets_of_a_card(head, names):
    assert datasets_in(f"---\n{head}\n---\ndatasets: none of these\n") == names
    assert datasets_in("datasets: in a text without a head") == ()


def test_only_a_run_of_ours_is_all():
    assert seen_of_source(OURS) == Seen(("video01", "video02"), (), True)
    assert not seen_of_source({"videos": []}).is_all  # as one that was converted
    from_foreign = OURS | {"init": {"path": "dinov2", "source": {"seen": {"data": ["lvd"]}}}}
    assert seen_of_source(from_foreign) == Seen(("video01", "video02"), ("lvd",), False)
    taught = OURS | {"teacher": {"path": "dinov2", "source": {"seen": {"data": ["lvd"]}}}}
    assert seen_of_source(taught) == seen_of_source(from_foreign)
    from_ours = OURS | {"init": {"path": "ours", "source": OURS | {"videos": ["video09"]}}}
    assert seen_of_source(from_ours) == Seen(("video01", "video02", "video09"), (), True)
    assert seen_in_json(json.loads(json.dumps(Seen(("a",), ("b",)).to_json()))) == Seen(
        ("a",), ("b",)
    )


def test_a_run_has_seen_what_it_was_begun_with(small_dataset, tmp_path, eager):
    """Also where the split that keeps videos from it is drawn anew before it goes on."""
    root, run = shutil.copytree(small_dataset, tmp_path / "data"), tmp_path / "run"
    held_out = {part: {"videos": []} for part in PARTS}
    for video in ("video04", "video01"):
        protocols = {"drawn": held_out | {"test": {"videos": [video]}}}
        (root / MANIFEST).write_text(json.dumps({"default": "drawn", "protocols": protocols}))
        pretrain(small_config(root, steps=1, data__exclude_videos=(MANIFEST,)), run)
    assert seen_of(run / "encoder").videos == ("video02", "video03", "video04", "video01")
    assert seen_by_run(run, ["video05"], goes_on=False) == ["video05"]
    (run / RUN_VIDEOS).write_text("video01")
    with pytest.raises(InputError, match=r"videos\.json: damaged"):
        seen_by_run(run, ["video02"], goes_on=True)


def test_words():
    assert Seen(is_all=True).words == "0 videos"
    assert Seen(("a",), (), True).words == "1 video"
    assert Seen(data=("lvd",)).words == "data sets: lvd; what else is not known"
    assert Seen().words == "not known"


def test_the_videos_go_along_into_a_hugging_face_directory_and_back(tmp_path):
    source = save_encoder(create_encoder(VARIANT, 16), tmp_path / "source", OURS)
    convert(source, tmp_path / "hf", "hf")
    convert(tmp_path / "hf", tmp_path / "back", "encoder")
    for path in (source, source / "saved_model", tmp_path / "hf", tmp_path / "back"):
        assert seen_of(path) == Seen(("video01", "video02"), (), True), path


def test_a_foreign_directory_is_not_known_but_for_its_card(tmp_path):
    source = save_encoder(create_encoder(VARIANT, 16), tmp_path / "source", {})
    convert(source, tmp_path / "hf", "hf")
    (tmp_path / "hf" / "README.md").write_text("---\ndatasets:\n- imagenet-1k\n---\n# theirs\n")
    assert seen_of(tmp_path / "hf") == Seen(data=("imagenet-1k",))
    convert(tmp_path / "hf", tmp_path / "back", "encoder")
    assert seen_of(tmp_path / "back") == Seen(data=("imagenet-1k",))
    (tmp_path / "file.pth").write_bytes(b"")
    assert seen_of(tmp_path / "file.pth") == Seen()


@pytest.mark.parametrize(
    "told, found",
    [
        ([1], "what was seen is [1]"),
        ({"videos": 5}, "what was seen: videos is 5"),
        ({"videos": ["a", 3]}, "what was seen: videos is ['a', 3]"),
        ({"data": "imagenet"}, "what was seen: data is 'imagenet'"),
        ({"is_all": "yes"}, "what was seen: is_all is 'yes'"),
    ],
)
def test_what_is_malformed_is_one_line(tmp_path, told, found):
    (tmp_path / "encoder.json").write_text(json.dumps({"source": {"seen": told}}))
    with pytest.raises(InputError) as error:
        seen_of(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}: {found}; expected")


@pytest.mark.parametrize(
    "text, found",
    [
        ("{", "encoder.json: damaged"),
        ("[]", "encoder.json: damaged"),
        ("{}", "encoder.json: damaged"),
        ('{"source": "a run"}', "its source is 'a run'"),
        ('{"source": {"init": "a path"}}', "its init is 'a path'"),
        ('{"source": {"videos": "video01"}}', "what was seen: videos is 'video01'"),
    ],
)
def test_an_encoder_directory_whose_source_is_damaged(tmp_path, text, found):
    (tmp_path / "encoder.json").write_text(text)
    with pytest.raises(InputError, match=r"^[^\n]*$") as error:
        seen_of(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}: {found}")


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "head, names",
    [
        (
            "datasets:\n- a\n- 'b'  # a remark\n\n- c\n# more\n- d\nlicense: mit",
            ("a", "b", "c", "d"),
        ),
        ("datasets: [a,\n  'b', # a remark\n  c]\nlicense: mit", ("a", "b", "c")),
        ("datasets: # none yet\n  - a\nlicense: mit", ("a",)),
        ("datasets: 'org/a'  # a remark\nlicense: mit", ("org/a",)),
        ("datasets: null\nlicense: mit", ()),
        ("datasets: []\nlicense: mit", ()),
        ("datasets:\nlicense: mit", ()),
        ("license: mit  # as the paper says\ndatasets:\n- a", ("a",)),
        ('license: "mit"\ndatasets:\n- a', ("a",)),
    ],
)
def test_cards_of_any_editor(tmp_path, head, names, ends):
    text = f"\ufeff---  \n{head}\n---\nabout\n"
    (tmp_path / "README.md").write_bytes(text.replace("\n", ends).encode())
    assert seen_of(tmp_path) == Seen(data=names)
    assert licence_beside(tmp_path) == "mit"
