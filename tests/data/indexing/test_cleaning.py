import cv2
import numpy as np
import pytest

from data.common.errors import InputError
from data.dataset.audit import Audit
from data.indexing.cleaning import (
    BOXES,
    LEAST_TISSUE,
    WHOLE,
    Cleaning,
    clean_video,
    find_boxes,
    find_dropped,
    measure,
    measure_files,
)

SIZE = (240, 320)
BLUE, GREY, BLACK = (200, 140, 80), (128, 128, 128), (0, 0, 0)  # BGR
ALL = Cleaning(black=True, out_of_body=True, near_duplicates=True)


def plain(colour):
    return np.full((*SIZE, 3), colour, np.uint8)


def tissue(seed):
    """Reds and yellows in patches; every seed is another scene."""
    random = np.random.default_rng(seed)
    patches = random.uniform((30, 40, 120), (80, 90, 220), (6, 8, 3)).astype(np.float32)
    return cv2.resize(patches, SIZE[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 255).astype("u1")


def with_border(image, left=40, right=280):
    image = image.copy()
    image[:, :left] = image[:, right:] = 4  # as noisy as a recorder's black
    return image


def in_circle(image):
    mask = cv2.circle(np.zeros(SIZE, np.uint8), (160, 120), 120, 1, -1)
    return image * mask[..., None]


def write(folder, images, suffix=".jpg"):
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"op_{number:06d}{suffix}" for number in range(1, len(images) + 1)]
    for file, image in zip(files, images, strict=True):
        cv2.imwrite(str(file), image)
    return files


def dropped(folder, images, cleaning=ALL):
    return find_dropped([measure(file) for file in write(folder, images)], cleaning)


def test_black_and_out_of_body_frames_are_told_from_the_operation(tmp_path):
    black = plain(BLACK)
    cv2.putText(black, "12:03", (5, 230), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1)
    smoke = plain((150, 150, 160))
    smoke[:60] = tissue(3)[:60]  # a quarter of the picture is seen through it
    instrument = tissue(4)
    instrument[:, 100:250] = 200
    images = [
        *(black, plain(BLUE), plain(GREY), in_circle(plain(BLUE))),
        *(tissue(1), in_circle(tissue(2)), smoke, instrument, plain((20, 15, 60))),
        plain((180, 90, 170)),  # purple: a cold white balance
    ]
    assert dropped(tmp_path, images) == ["black", *["out_of_body"] * 3, *[None] * 6]
    assert dropped(tmp_path, images, Cleaning(black=True)) == ["black", *[None] * 9]
    assert dropped(tmp_path, images, Cleaning(out_of_body=True))[0] is None
    assert dropped(tmp_path, images, Cleaning(borders=True)) == [None] * 10


def test_tissue_is_its_share_of_what_is_lit(tmp_path):
    half = plain(BLUE)
    half[:, 160:] = tissue(1)[:, 160:]
    for image, share in ((half, 0.5), (with_border(half, 160, 320), 1.0), (plain(BLACK), 0.0)):
        (file,) = write(tmp_path, [image], ".png")
        assert measure(file).tissue == pytest.approx(share, abs=0.02)
    assert LEAST_TISSUE < 0.14, "dense smoke in Cholec80 leaves 14 %"


def test_a_standing_picture_is_dropped_and_a_slow_one_is_not(tmp_path):
    scene = tissue(1)
    noise = np.random.default_rng(0).integers(-2, 3, scene.shape)
    again = (scene + noise).clip(0, 255).astype(np.uint8)
    moved = np.roll(scene, 5, axis=1)
    images = [scene, again, scene, moved, plain(BLACK), moved, scene]
    reasons = dropped(tmp_path, images)
    twice = "near_duplicates"
    assert reasons == [None, twice, twice, None, "black", twice, None]


def test_small_steps_add_up(tmp_path):
    """Compared is the last frame that was kept, so that a fade is thinned out, not lost."""
    images = [plain((60, 60, 120 + step)) for step in range(10)]  # PNG: 1/3 of a grey level each
    measures = [measure(file) for file in write(tmp_path, images, ".png")]
    kept = [reason is None for reason in find_dropped(measures, ALL)]
    assert kept == [True, False, False] * 3 + [True]


def test_borders_are_found_and_a_dark_scene_does_not_shake_them(tmp_path):
    images = [with_border(tissue(seed)) for seed in range(20)]
    for seed in (3, 4, 10):
        images[seed] = with_border(tissue(seed), 160, 280)
    images[12] = plain(BLACK)
    boxes = find_boxes([measure(file) for file in write(tmp_path, images, ".png")])
    np.testing.assert_allclose(boxes, np.tile((40 / 320, 0, 280 / 320, 1), (20, 1)), atol=0.013)


def test_a_change_of_zoom_changes_the_borders_at_that_frame(tmp_path):
    images = [with_border(tissue(s)) for s in range(30)] + [tissue(s) for s in range(30)]
    boxes = find_boxes([measure(file) for file in write(tmp_path, images, ".png")])
    assert (boxes != WHOLE).any(axis=1).tolist() == [True] * 30 + [False] * 30


@pytest.mark.parametrize(
    "image",
    [plain(BLACK), tissue(1), with_border(tissue(1), 4, 320), with_border(tissue(1), 150, 190)],
    ids=["black", "no border", "too narrow a border", "hardly anything lit"],
)
def test_pictures_that_stay_whole(tmp_path, image):
    (box,) = find_boxes([measure(file) for file in write(tmp_path, [image], ".png")])
    assert tuple(box) == WHOLE


def test_no_frames_have_no_boxes():
    assert find_boxes([]).shape == (0, 4)


def test_a_cropped_frame_is_a_copy(tmp_path):
    scene = tissue(1)
    files = write(tmp_path / "frames", [with_border(scene), plain(BLACK)], ".png")
    before = [file.read_bytes() for file in files]
    counts = {}
    measured = measure_files(files, Audit())
    cleaned, kept = clean_video(tmp_path / "cropped", measured, Cleaning(borders=True), counts)
    assert counts == {"cropped": 2, "pretraining": 2}  # the black frame: as its neighbour
    assert kept.tolist() == [True, True]
    assert cleaned == [tmp_path / "cropped" / file.name for file in files]
    np.testing.assert_array_equal(cv2.imread(str(cleaned[0])), scene[:, 40:280])
    assert [file.read_bytes() for file in files] == before

    times = [file.stat().st_mtime_ns for file in cleaned]
    clean_video(tmp_path / "cropped", measured, Cleaning(borders=True), {})
    assert [file.stat().st_mtime_ns for file in cleaned] == times, "written once"


def test_what_cannot_be_decoded_is_a_problem(tmp_path):
    files = write(tmp_path, [tissue(1), tissue(2)])
    files[0].write_bytes(b"\xff\xd8\xff nothing \xff\xd9")
    audit = Audit()
    assert list(measure_files(files, audit)) == [files[1]]
    (problem,) = audit.problems
    assert problem.startswith(f"{files[0]}: a damaged JPEG file")
    files[0].write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        measure(files[0])


def test_a_crop_follows_its_box(tmp_path):
    """A border of 80 pixels on four frames; with 15 more the median is another one."""
    images = [with_border(tissue(seed), 80, 240) for seed in range(4)]
    images += [with_border(tissue(seed)) for seed in range(4, 19)]
    files = write(tmp_path / "frames", images, ".png")
    cleaning, folder = Cleaning(borders=True), tmp_path / "cropped"

    def widths(files):
        cleaned, _ = clean_video(folder, measure_files(files, Audit()), cleaning, {})
        return [cv2.imread(str(file)).shape[1] for file in cleaned]

    assert widths(files[:4]) == [160] * 4
    assert widths(files) == [240] * 19
    (folder / BOXES).unlink()  # killed: the crops are of the wider box, and nothing says so
    assert widths(files[:4]) == [160] * 4
