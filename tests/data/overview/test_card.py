"""The cards of datasets, read as Hugging Face reads them."""

import pytest
import yaml

from data.overview.card import OURS
from data.preparing import prepare
from data.storage.cards import head, head_of
from tests.support.small_videos import write_video

TELLING = ("Meier", "Anna", "Berlin")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A hospital's videos, whose names and folders tell who is seen in them."""
    folder = tmp_path_factory.mktemp("Klinikum Berlin")
    for video in ("Anna/Meier Anna 1", "Anna/Meier Anna 2", "Boris/Meier Boris", "Carl/Carl Meier"):
        path = folder / "videos" / f"{video}.mp4"
        write_video(path, frames=60)
    patients = folder / "patients.csv"
    patients.write_text(
        "video,patient\nMeier Anna 1,Anna Meier\nMeier Anna 2,Anna Meier\n"
        "Meier Boris,Boris Meier\nCarl Meier,Carl Meier\n"
    )
    return prepare(folder, name="Berlin", videos=folder / "videos", patients=patients).root


def test_it_counts_and_names_nobody(dataset):
    text = (dataset / "README.md").read_text()
    assert "Meier" in (dataset / "patients.csv").read_text()
    assert not [name for name in TELLING if name.lower() in text.lower()]
    assert "| videos | 4 |" in text
    assert "| patients | 3 patients, by patients.csv |" in text
    assert "| rate | 1 frames a second |" in text


def test_videos_of_nobody_known_are_no_patients(tmp_path):
    for video in ("a", "b", "c", "d"):
        write_video(tmp_path / "videos" / f"{video}.mp4", frames=60)
    (tmp_path / "known.csv").write_text("video,patient\na,A\nb,A\n")
    known = {"videos": tmp_path / "videos", "patients": tmp_path / "known.csv"}
    text = (prepare(tmp_path, name="ours", **known).root / "README.md").read_text()
    said = "| patients | 1 patient, by patients.csv, and 2 videos whose patient is not known |"
    assert said in text.splitlines()


def test_its_head_is_what_hugging_face_expects(dataset):
    values = yaml.safe_load(head_of((dataset / "README.md").read_text()))
    assert values == {
        "license": "unknown",
        "pretty_name": "Endoscopic frames",
        "task_categories": ["image-feature-extraction"],
        "size_categories": ["n<1K"],
        "tags": ["endoscopy", "medical"],
    }


def test_the_client_of_hugging_face_takes_it(dataset):
    client = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    data = client.DatasetCard.load(dataset / "README.md").data
    assert (data.license, data.size_categories) == ("unknown", ["n<1K"])


def test_what_somebody_wrote_stays(dataset):
    card, videos = dataset / "README.md", dataset.parent / "videos"
    text = card.read_text()
    card.write_text(text.replace("license: unknown", "license: cc-by-4.0") + "more")
    prepare(dataset.parent, name="Berlin", videos=videos)
    assert card.read_text() == text.replace("license: unknown", "license: cc-by-4.0").replace(
        "Before it is given away, whoever owns it has to set `license` above.", "`cc-by-4.0`."
    )
    card.write_text("# Ours\n")
    prepare(dataset.parent, name="Berlin", videos=videos)
    assert card.read_text() == "# Ours\n"
    card.write_text(OURS)
    prepare(dataset.parent, name="Berlin", videos=videos)
    assert card.read_text() == text


@pytest.mark.parametrize(
    "values",
    [
        {"license": "cc-by-nc-sa-4.0", "tags": ["a", "n<1K", "no", "1", "x: y", "- z", 'é"\\|']},
        {"a": "true", "b": "Null", "c": "12", "d": "", "e": "x # y", "f": "🙂 \n", "g": "1e3"},
        {"model-index": [{"name": "x", "results": [{"value": 0.5, "none": None}]}], "empty": []},
    ],
)
def test_any_value_comes_back(values):
    assert yaml.safe_load(head_of(head(values))) == values
