import cv2
import numpy as np
import pytest
from PIL import Image

from data.annotation_formats.clock_times import clock
from data.common.errors import InputError
from data.dataset.audit import Audit
from data.frames.frames import Frames
from data.image_classes.writing import LabelledImage, write_dataset
from data.indexing.building import build_index
from data.overview import sheet
from data.overview.drawing import colour_of
from data.overview.sheet import write_sheet
from data.overview.sheet_strips import MAX_ROWS, PER_STRIP, choose_strips


class Recorded(Frames):
    """Videos of some seconds each, with one frame a second."""

    def __init__(self, seconds, phases=(), names=()):
        video = np.repeat(np.arange(len(seconds)), [len(s) for s in seconds])
        phase = np.array(phases, np.int8) if len(phases) else None
        super().__init__([f"op{k}" for k in range(len(seconds))], video, phase, names)
        self._seconds = np.concatenate([np.array(s, float) for s in seconds])

    def read(self, row):
        raise NotImplementedError

    def paths(self, rows):
        return [f"/x/{row}.png" for row in np.asarray(rows)]

    def seconds(self, rows):
        return self._seconds[rows]


def write_frames(root, video, colours, missing=()):
    for number, colour in enumerate(colours, 1):
        if number not in missing:
            file = root / "frames" / video / f"{video}_{number:06d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), np.full((48, 64, 3), colour[::-1], np.uint8))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0:00"),
        (9.96, "0:10"),
        (59.5, "0:59.5"),
        (60, "1:00"),
        (3600, "1:00:00"),
        (7325, "2:02:05"),
    ],
)
def test_the_time_of_a_frame_as_a_clock_has_it(seconds, said):
    assert clock(seconds, decimals=1) == said


def test_frames_are_evenly_apart_in_time_and_missing_ones_leave_a_place():
    (strip,), said = choose_strips(Recorded([range(8)], [0, 0, 0, 0, 1, 1, -1, 1], ["a", "b"]))
    assert (strip.name, strip.about, said) == ("op0", "8 frames, 0:08", "1 videos, 8 frames")
    assert strip.rows == tuple(range(8))
    assert strip.captions == tuple(f"0:0{k}" for k in range(8))
    assert strip.stripe[::50].tolist() == [0, 0, 0, 0, 1, 1, -1, 1]
    strips, _ = choose_strips(Recorded([[*range(10), *range(90, 100)]], [0] * 20, ["a"]))
    assert [len(strip.rows) for strip in strips] == [PER_STRIP] * 3
    rows = [row for strip in strips for row in strip.rows if row is not None]
    assert len(set(rows)) == len(rows)
    assert None in strips[1].rows
    stripe = np.concatenate([strip.stripe for strip in strips])
    assert (stripe >= 0).mean() == pytest.approx(0.2, abs=0.02)


def test_a_sheet_has_at_most_so_many_videos_and_says_so():
    strips, said = choose_strips(Recorded([range(3)] * 400))
    assert len(strips) == MAX_ROWS
    assert said == f"{MAX_ROWS} of 400 videos, evenly; 1,200 frames in all"
    assert [strip.name for strip in strips[:3]] == ["op5", "op15", "op25"]
    assert not len(strips[0].stripe)
    strips, _ = choose_strips(Recorded([range(100)] * 2))
    assert [strip.name for strip in strips] == ["op0", "", "", "op1", "", ""]


def test_images_without_time_are_named_by_their_files():
    (strip,), _ = choose_strips(Recorded([[np.nan] * 5]))
    assert strip.about == "5 frames"
    assert strip.captions == tuple(f"{k}.png" for k in range(5))


def test_the_picture_of_a_dataset(tmp_path):
    """Each frame and each stretch of the stripe has its colour, and what is damaged is grey."""
    root, colours = tmp_path / "ours", [(200, 30, 30), (30, 200, 30), (30, 30, 200), (90, 90, 30)]
    write_frames(root, "op1", colours)
    (root / "annotations").mkdir()
    table = "video,start,end,phase\nop1,0,2,\u80c6\u56ca\u5265\u96e2\nop1,2,3,Naht\n"
    (root / "annotations" / "phases.csv").write_text(table, encoding="utf-8")
    build_index(root)
    (root / "frames" / "op1" / "op1_000004.png").write_bytes(b"\x89PNG cut off")
    output = tmp_path / "new" / "sheet.png"
    assert write_sheet(root, output) == f"{output}: 1 videos, 4 frames"
    picture = np.asarray(Image.open(output).convert("RGB")).astype(int)
    width = sheet.HEIGHT * 64 // 48
    left = sheet.MARGIN + sheet.NAMES
    top = int((abs(picture[:, left + 5] - colours[0]).max(axis=1) < 3).argmax())
    for place, colour in enumerate([*colours[:3], (sheet.UNREADABLE,) * 3]):
        x = left + place * (width + sheet.GAP)
        inside = picture[top + 5 : top + 40, x + 5 : x + width - 5]
        assert abs(inside - colour).max() < 3
    stripe = picture[top + sheet.HEIGHT + sheet.GAP + 5]
    for place, phase in enumerate((0, 0, 1, -1)):
        x = left + place * (width + sheet.GAP) + width // 2
        assert "#{:02X}{:02X}{:02X}".format(*stripe[x]) == colour_of(phase)
    assert (picture[top - 1 :, left + 4 * (width + sheet.GAP) :] == 255).all()
    assert write_sheet(root, tmp_path / "sheet.jpg")
    with Image.open(tmp_path / "sheet.jpg") as opened:
        assert opened.format == "JPEG"


def test_the_picture_of_classes_has_a_row_for_each(tmp_path):
    images = []
    for label, kind in enumerate(("cyst", "normal")):
        for number in range(1, 12):
            write_frames(tmp_path, f"{kind}{number}", [(9 * number, 40, 40)])
            file = f"frames/{kind}{number}/{kind}{number}_000001.png"
            images.append(LabelledImage(f"{kind}{number}", 1, label, file))
    write_dataset(
        tmp_path,
        images,
        ["cyst", "normal"],
        {"all": {"train": [], "validation": [], "test": []}},
        Audit(),
    )
    said = write_sheet(tmp_path, tmp_path / "sheet.png")
    assert said.endswith("sheet.png: 2 classes, 22 images")


def test_what_cannot_be_drawn_is_said(tmp_path):
    write_frames(tmp_path, "op1", [(1, 2, 3)])
    build_index(tmp_path)
    with pytest.raises(InputError, match=r"sheet\.gif: expected a name that ends in \.jpg"):
        write_sheet(tmp_path, tmp_path / "sheet.gif")
    (tmp_path / "frames" / "op1" / "op1_000001.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"op1_000001\.png: cannot be read, nor any other"):
        write_sheet(tmp_path, tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()
