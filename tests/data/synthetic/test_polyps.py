"""The rendered PolypsSet: the archive's layout and faults; classes told by texture, not colour."""

import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.audit import Audit
from data.dataset.frame_index import load_index
from data.image_classes.polypsset import prepare_polyps
from data.image_classes.polypsset_frames import NAMES
from data.synthetic.mucosa import Polyp, draw_wall, grooves, pits, walk
from data.synthetic.polyps import make_polyps

FEW = {"sequences": 12, "frames": 4, "size": (128, 96)}
POLYPS = 48


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    root = tmp_path_factory.mktemp("rendered") / "polypsset"
    make_polyps(root, **FEW)
    return root


def read_all(root):
    return {file.relative_to(root): file.read_bytes() for file in root.rglob("*.*g")}


def test_the_reader_finds_what_was_made_and_what_is_wrong(rendered):
    audit = Audit()
    prepare_polyps(rendered, None, None, audit)
    index = load_index(rendered)
    assert audit.problems == []
    parts = [name.split("-")[0] for name in index.videos]
    assert [parts.count(part) for part in ("train2019", "val2019", "test2019")][1:] == [2, 3]
    assert "1 images without an annotation, 1 annotations without an image" in audit.remarks[0]
    assert "1 boxes that reach out" in audit.remarks[0]
    for number, name in enumerate(index.videos):
        labels = index.label[index.video == number]
        assert len({*labels.tolist()} - {-1}) <= 1, "one polyp, one class"
        if name.startswith(("val", "test")):
            assert max(labels) == int(name.split("-")[1]) % 2
    train = index.select([name for name in index.videos if name.startswith("train")])
    assert sorted(train.frame) == list(range(1, len(train) + 1))
    steps = np.diff(train.video[np.argsort(train.frame)])
    assert np.count_nonzero(steps) > len(train) / 2, "numbers are shuffled"
    assert any("7 sequences are made from the tag path" in line for line in audit.remarks)


def test_it_is_the_seeds_and_kept(rendered, tmp_path):
    other = tmp_path / "polypsset"
    make_polyps(other, **FEW)
    assert read_all(other) == read_all(rendered)
    victim = next(other.rglob("*.jpg"))
    victim.unlink()
    make_polyps(other, **FEW)
    assert not victim.exists(), "what was complete is not rendered again"
    (other / ".unpacking").touch()
    make_polyps(other, **FEW)
    assert victim.exists(), "what was not complete is"
    with pytest.raises(InputError, match="holds other frames"):
        make_polyps(other, **FEW, seed=1)


@pytest.mark.parametrize(
    "wrong", [{"sequences": 2}, {"frames": 1}, {"seed": -1}, {"size": (20, 20)}]
)
def test_wrong_arguments(tmp_path, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        make_polyps(tmp_path / "new", **{**FEW, **wrong})
    assert not (tmp_path / "new").exists()


@pytest.fixture(scope="module")
def polyps():
    """[(label, the polyp, 128 x 128 pixels, its whole frame)] of many polyps, a frame of each."""
    found = []
    for number in range(POLYPS):
        label = number % 2
        polyp = Polyp(np.random.default_rng([7, number]), NAMES[label], (192, 144), 1)
        image, (left, top, right, bottom) = polyp.frame(0)
        found.append((label, cv2.resize(image[top:bottom, left:right], (128, 128)), image))
    return found


def told_apart(features, labels):
    """Share of polyps whose class the nearest class mean tells, each left out of its mean."""
    features = np.asarray(features, float)
    features = (features - features.mean(0)) / features.std(0)
    right = 0
    for row, label in enumerate(labels):
        others = np.arange(len(labels)) != row
        means = [features[others & (labels == number)].mean(0) for number in (0, 1)]
        right += np.linalg.norm(features[row] - means, axis=1).argmin() == label
    return right / len(labels)


def test_colour_does_not_tell_the_classes_and_texture_does(polyps):
    labels = np.array([label for label, *_ in polyps])
    colour, contrast, texture = [], [], []
    for _, image, frame in polyps:
        own, around = (of[of.max(axis=2) > 20].mean(axis=0) for of in (image[32:96, 32:96], frame))
        colour.append(own)
        contrast.append(np.log(own / around))
        grey = np.log(image.mean(axis=2)[32:96, 32:96] + 20)
        band = cv2.GaussianBlur(grey, (0, 0), 1.5) - cv2.GaussianBlur(grey, (0, 0), 4)
        band = (band - band.mean()) / band.std()
        texture.append([(band**3).mean(), np.quantile(band, 0.05), np.quantile(band, 0.95)])

    for feature in (colour, contrast):
        assert told_apart(feature, labels) < 0.66  # 98 % of guesses are below
    assert told_apart(texture, labels) > 0.66


def test_patterns_have_round_pits_and_long_grooves():
    """Dark parts of the surface: many small ones, or few long ones."""
    random = np.random.default_rng(3)
    shape, scale = (300, 300), 250
    sizes = []
    for pattern in (pits(random, shape, scale), grooves(random, shape, scale)):
        dark = (pattern < np.quantile(pattern, 0.3)).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=4)
        sizes.append(np.median(np.sort(stats[1:, cv2.CC_STAT_AREA])[-20:]))
    assert sizes[1] > 2.5 * sizes[0]


def test_frames_show_the_polyp_where_the_box_is():
    polyp = Polyp(np.random.default_rng(5), "adenomatous", (128, 96), 8)
    boxes = []
    for number in range(8):
        image, box = polyp.frame(number)
        assert image.shape == (96, 128, 3)
        if box is not None:
            boxes.append(box)
            left, top, right, bottom = box
            assert 0 <= left < right <= 128
            assert 0 <= top < bottom <= 96
    assert len(set(boxes)) > 3, "the endoscope moves"
    polyp.away[:] = True
    assert polyp.frame(0)[1] is None


def test_the_wall_and_the_camera():
    random = np.random.default_rng(0)
    colour, height = draw_wall(random, 200, 80)
    assert (colour.dtype, height.dtype) == (np.float32, np.float32)
    blue, _, red = colour.mean(axis=(0, 1))
    assert red > 1.3 * blue
    assert height.max() - height.min() > 0.03, "there are folds"
    path = walk(random, 200, 2, 0.1)
    assert path.shape == (200, 2)
    assert np.abs(np.diff(path, axis=0)).max() < np.ptp(path) / 2
    assert not path[0].any()
