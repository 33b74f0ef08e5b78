"""Two classes of images through an experiment: what sensitivity is of stands everywhere."""

import json

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from down_stream.compare import table
from down_stream.experiment import run
from tests.support.class_images import prepare
from tests.support.small_phases import small_config

pytestmark = pytest.mark.usefixtures("eager")


def write_stripes(path, number, is_upright):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(number).integers(0, 60, (24, 24, 3), np.uint8)
    stripes = image if is_upright else image.transpose(1, 0, 2)
    stripes[:, ::4] += 150
    cv2.imwrite(str(path), image)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A dataset of the folders neoplastic and non_neoplastic, 12 images each."""
    place = tmp_path_factory.mktemp("two")
    for kind in ("neoplastic", "non_neoplastic"):
        for number in range(12):
            path = place / "images" / kind / f"{kind}{number}.png"
            write_stripes(path, number, kind == "neoplastic")
    prepare(place / "data", place / "images")
    return place / "data"


def config(root, **changes):
    splits = {f"{part}_videos": ("splits.json",) for part in ("train", "validation", "test")}
    return small_config(root, task="classes", **splits, **changes)


def test_sensitivity_is_not_of_the_second_of_the_alphabet(root, tmp_path, caplog):
    results = run(config(root), tmp_path / "run")
    assert results["classes"] == ["neoplastic", "non_neoplastic"]
    assert results["positive_class"] == "neoplastic"
    found = results["metrics"]["frame"]
    (right, wrong), _ = found["confusion"]
    assert found["sensitivity"] == pytest.approx(right / (right + wrong))
    assert "positive class is neoplastic, because 'non_neoplastic' is the name" in found["rule"]
    report = (tmp_path / "run" / "report.html").read_text()
    assert "neoplastic: sensitivity is its recall" in report
    assert "Probability of neoplastic" in report
    other = run(config(root, positive_class="non_neoplastic"), tmp_path / "other")
    assert other["metrics"]["frame"]["specificity"] == found["sensitivity"]
    lines = table([tmp_path / "run", tmp_path / "other"]).splitlines()
    assert "positive class: neoplastic" in lines and "positive class: non_neoplastic" in lines
    assert "in positive class (non_neoplastic, not neoplastic)" in lines[-1]
    assert "positive" not in caplog.text


def test_what_no_name_says_is_asked_for(root, tmp_path, caplog):
    described = json.loads((root / "classes.json").read_text())
    renamed = tmp_path / "data"
    renamed.mkdir()
    for path in root.iterdir():
        (renamed / path.name).symlink_to(path)
    (renamed / "classes.json").unlink()
    (renamed / "classes.json").write_text(json.dumps(described | {"classes": ["a", "b"]}))
    results = run(config(renamed), tmp_path / "run")
    assert results["positive_class"] is None
    assert "sensitivity" not in results["metrics"]["frame"]
    (warning,) = [text for text in results["warnings"] if "positive" in text]
    assert "which of a and b is positive is not known" in warning and warning in caplog.text
    with pytest.raises(InputError, match="positive_class is 'c'; expected one of a, b"):
        run(config(renamed, positive_class="c"), tmp_path / "other")


def test_few_validation_sequences_choose_by_likelihood_and_say_so(root, tmp_path, caplog):
    """Two of 24 sequences validate: by the score an early epoch wins that was lucky."""
    automatic = config(root, epochs=5)
    automatic.choose_by = None
    results = run(automatic, tmp_path / "run")
    groups = len(results["videos"]["validation"])
    assert results["epoch_chosen_by"] == "log_likelihood"
    history = results["history"]["val_log_likelihood"]
    assert results["best_epoch"] == int(np.argmax(history)) and max(history) < 0
    (warning,) = [text for text in results["warnings"] if "chosen on" in text]
    assert f"on {groups} validation sequences, fewer than 30, by the likelihood" in warning
    assert warning.endswith("; --config.folds=5 tests every sequence once")
    assert warning in caplog.text
    report = (tmp_path / "run" / "report.html").read_text()
    assert f"{groups} validation sequences" in report
    assert "by log likelihood on the validation sequences" in report
    by_score = run(config(root, epochs=5), tmp_path / "score")
    assert by_score["epoch_chosen_by"] == "macro_f1"
    assert any("by their score, much of which is luck" in text for text in by_score["warnings"])
    neighbours = run(config(root, mode="knn"), tmp_path / "knn")
    assert not any("chosen on" in text for text in neighbours["warnings"])
    assert "in choice of the epoch (macro_f1, not log_likelihood)" in table(
        [tmp_path / "run", tmp_path / "score"]
    )
