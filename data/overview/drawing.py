"""What all pictures have in common: colours of classes, and fonts for names in any script."""

import contextlib
import functools
import warnings
from collections.abc import Iterable
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

from data.common.logs import logger

# By class id; more classes than colours: from the start again. The first seven are the palette of
# Okabe and Ito (2008) moved apart: any two differ by more than 25 in CIELAB, for normal vision and
# for the three kinds of colour blindness as simulated by Machado et al. (2009). The others are
# those furthest from all before them and from white, black and grey (any two differ by more than
# 20 for normal vision), in an order in which neighbours differ by more than 25 for every vision.
CLASS_COLOURS = (
    *("#63DDEA", "#1C49DB", "#FFD16B", "#03967C", "#C77A00", "#A350B0", "#B13529", "#B4C300"),
    *("#5A7896", "#A5782D", "#FF4BFF", "#87FF96", "#694B78", "#FF784B", "#0096F0", "#1E00B4"),
    *("#E1A5C3", "#005A0F", "#7800FF", "#F078A5", "#69783C", "#B44BFF", "#003C78", "#782D00"),
    *("#FF1E78", "#7800A5", "#C3F0C3", "#782D4B", "#B49669", "#FF4BB4", "#A5FF00", "#78005A"),
    *("#A596D2", "#1E3C1E", "#FFA596", "#695AC3", "#785A4B", "#87B45A", "#FF96FF", "#B45A69"),
)
UNKNOWN_COLOUR = "#D9D9D9"
SMALL = 9.5  # points: at least 12 pixels in a page


def colour_of(number: int) -> str:
    """The colour of a class; -1 is unknown."""
    return UNKNOWN_COLOUR if number < 0 else CLASS_COLOURS[number % len(CLASS_COLOURS)]


def width_of(names: Iterable[str], size: float = SMALL) -> float:
    """Inches that the longest line takes."""
    lines = [line for name in names for line in name.splitlines()] or [""]
    font = FontProperties(family=_families("".join(lines)), size=size)
    with _without_glyph_warnings():
        measure = text_to_path.get_text_width_height_descent
        return max(measure(line, font, ismath=False)[0] for line in lines) / 72


def save_figure(figure: Figure, file, **options) -> None:
    """Writes a figure as `savefig` does, each text in fonts that have its characters."""
    texts = figure.findobj(Text)
    family = _families("".join(text.get_text() for text in texts))
    for text in texts:
        text.set(parse_math=False, fontfamily=family)  # names may hold $
    with _without_glyph_warnings():
        figure.savefig(file, **options)


# Fonts.


@contextlib.contextmanager
def _without_glyph_warnings():
    """Of characters without a glyph `_fallbacks` tells, once for all."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def _families(text: str) -> list[str]:
    """DejaVu Sans, and the fonts for what it does not have."""
    known = get_font(findfont("DejaVu Sans")).get_charmap()
    missing = {character for character in text if character.isprintable()}
    return ["DejaVu Sans", *_fallbacks(frozenset(c for c in missing if ord(c) not in known))]


@functools.cache
def _fallbacks(characters: frozenset[str]) -> list[str]:
    """Installed fonts that have these characters; remarks once on those that none has."""
    left, chosen = set(map(ord, characters)), []
    fonts = {font.name: font.fname for font in fontManager.ttflist if font.style == "normal"}
    for name in sorted(fonts, key=lambda name: ("Sans" not in name, name)):
        if not left or not Path(fonts[name]).is_file():
            continue
        found = left & get_font(fonts[name]).get_charmap().keys()
        if found and not name.startswith("Last Resort"):  # has boxes for everything
            chosen.append(name)
            left -= found
    if left:
        logger.warning(
            "no installed font has %s: PNG files show boxes, report.html what the browser has",
            " ".join(map(chr, sorted(left))),
        )
    return chosen
