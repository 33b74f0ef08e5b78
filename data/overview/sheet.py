"""The contact sheet of a dataset: frames of each video in their order, its phases as a stripe."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from data.common.errors import InputError
from data.frames.frames import Frames
from data.frames.listing import list_dataset
from data.images.image_io import resize
from data.overview.drawing import SMALL, colour_of, save_figure, width_of
from data.overview.sheet_strips import PER_STRIP, Strip, choose_strips
from data.storage.whole import whole_file

DPI = 100
HEIGHT = 120  # pixels of a frame; wide ones are at most 16 x 9
MARGIN, NAMES, GAP = 24, 200, 4  # pixels: around the sheet, of the names' column, between frames
STRIPE, CAPTION, BETWEEN = 12, 24, 14
LINE, SWATCH = 22, 14  # pixels of a line of text, and of a square in the legend
UNREADABLE = 235  # grey
FAINT = "#767676"
TYPES = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png"}


def write_sheet(root: Path, output: Path) -> str:
    """Draws the sheet of a dataset; returns what it shows, in words.

    Args:
      root: dataset directory, prepared.
      output: .jpg or .png.

    Raises:
      InputError: no dataset, no frame that can be read, or another kind of file.
    """
    if output.suffix.lower() not in TYPES:
        raise InputError(f"{output}: expected a name that ends in {', '.join(TYPES)}")
    frames = list_dataset(root)
    strips, said = choose_strips(frames)
    figure = draw_sheet(frames, strips, f"{root.name}: {said}")
    output.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(output) as side:
        save_figure(figure, side, format=TYPES[output.suffix.lower()], dpi=DPI)
    return f"{output}: {said}"


def draw_sheet(frames: Frames, strips: Sequence[Strip], title: str) -> Figure:
    """The sheet; raises `InputError` where no frame can be read."""
    images = _read(frames, [row for strip in strips for row in strip.rows if row is not None])
    if not any(image is not None for image in images.values()):
        raise InputError(f"{frames.name(strips[0].rows[0])}: cannot be read, nor any other frame")
    cell = max(image.shape[1] for image in images.values() if image is not None)
    legend = [] if frames.classes else _legend(strips, frames.phases)
    width = 2 * MARGIN + NAMES + PER_STRIP * (cell + GAP) - GAP
    places, lines = _legend_places(legend, width - 2 * MARGIN)
    tops = [MARGIN + LINE + BETWEEN + (lines * LINE + BETWEEN if legend else 0)]
    for strip, after in zip(strips, [*strips[1:], None], strict=True):
        is_last = bool(after and after.name)  # of its video
        tops.append(tops[-1] + _height(strip) + is_last * BETWEEN)
    sheet = _Sheet(width, tops[-1] + MARGIN - BETWEEN // 2)
    sheet.write(MARGIN, MARGIN + LINE / 2, title, fontsize=1.5 * SMALL, weight="bold")
    for (number, name), (x, line) in zip(legend, places, strict=True):
        y = MARGIN + LINE + BETWEEN + line * LINE
        sheet.canvas[y : y + SWATCH, MARGIN + x : MARGIN + x + SWATCH] = _rgb(number)
        sheet.write(MARGIN + x + SWATCH + 6, y + SWATCH / 2, name)
    for strip, top in zip(strips, tops, strict=False):
        _draw_strip(sheet, strip, top, images, cell)
    sheet.figure.figimage(sheet.canvas, origin="upper")
    return sheet.figure


class _Sheet:
    """Pixels, and a figure of the same size for the text on them."""

    def __init__(self, width: int, height: int):
        self.canvas = np.full((height, width, 3), 255, np.uint8)
        self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)

    def write(self, x: float, y: float, text: str, **style) -> None:
        """A text whose middle is at the height y, in pixels from the top left."""
        height, width, _ = self.canvas.shape
        style = {"fontsize": SMALL, "va": "center", **style}
        self.figure.text(x / width, 1 - y / height, text, **style)


def _height(strip: Strip) -> int:
    return HEIGHT + GAP + STRIPE * bool(len(strip.stripe)) + CAPTION


def _draw_strip(sheet: _Sheet, strip: Strip, top: int, images: dict, cell: int) -> None:
    """Draws the name of a strip, its frames, its stripe and its captions."""
    left, below = MARGIN + NAMES, top + HEIGHT + GAP
    sheet.write(MARGIN, top + LINE / 2, _shortened(strip.name, NAMES - 24), weight="bold")
    sheet.write(MARGIN, top + 3 * LINE / 2, strip.about, color=FAINT)
    for place, (row, caption) in enumerate(zip(strip.rows, strip.captions, strict=True)):
        if row is None:
            continue
        x, image = left + place * (cell + GAP), images[row]
        middle = {"ha": "center", "color": FAINT}
        if image is None:
            sheet.canvas[top : top + HEIGHT, x : x + cell] = UNREADABLE
            sheet.write(x + cell / 2, top + HEIGHT / 2, "not readable", **middle)
        else:
            inset = x + (cell - image.shape[1]) // 2
            sheet.canvas[top : top + HEIGHT, inset : inset + image.shape[1]] = image
        y = top + _height(strip) - CAPTION / 2 - 2
        sheet.write(x + cell / 2, y, _shortened(caption, cell), **middle)
    if len(strip.stripe):
        length = len(strip.rows) * (cell + GAP) - GAP
        colours = np.array([_rgb(number) for number in strip.stripe.tolist()], np.uint8)
        bins = np.arange(length) * len(strip.stripe) // length
        sheet.canvas[below : below + STRIPE, left : left + length] = colours[bins]


def _legend(strips: Sequence[Strip], names: Sequence[str]) -> list[tuple[int, str]]:
    """(id, name) of what the stripes show."""
    shown = {number for strip in strips for number in strip.stripe.tolist()}
    legend = [(number, name) for number, name in enumerate(names) if number in shown]
    return [*legend, (-1, "unknown")] if legend and -1 in shown else legend


def _read(frames: Frames, rows: Sequence[int]) -> dict[int, np.ndarray | None]:
    """{row: its frame, HEIGHT high}, None of one that cannot be read."""

    def read(row):
        try:
            image = frames.read(row)
        except (InputError, OSError):
            return None
        height, width = image.shape[:2]
        if width > 16 / 9 * height:  # its middle
            inside = round(16 / 9 * height)
            image = image[:, (width - inside) // 2 :][:, :inside]
        return resize(image, (HEIGHT, max(1, round(HEIGHT * image.shape[1] / height))))

    with ThreadPoolExecutor() as pool:  # decoding leaves Python's lock to others
        return dict(zip(rows, pool.map(read, rows), strict=True))


def _legend_places(legend: Sequence[tuple[int, str]], width: int) -> tuple[list, int]:
    """[(x in pixels, line)] of the names, and how many lines they take."""
    places, x, line = [], 0, 0
    for _, name in legend:
        needed = SWATCH + math.ceil(DPI * width_of([name])) + 30
        if x and x + needed > width:
            x, line = 0, line + 1
        places.append((x, line))
        x += needed
    return places, line + 1


def _shortened(text: str, width: int) -> str:
    """A text, its middle left out where it is wider than some pixels."""
    if DPI * width_of([text]) <= width:
        return text
    for kept in range(len(text) - 1, 2, -1):
        short = text[: kept - kept // 2] + "…" + text[len(text) - kept // 2 :]
        if DPI * width_of([short]) <= width:
            return short
    return text[:2] + "…"


def _rgb(number: int) -> tuple[int, ...]:
    return tuple(round(255 * part) for part in to_rgb(colour_of(number)))
