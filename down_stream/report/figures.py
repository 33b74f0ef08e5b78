"""What every figure has in common: colours, fonts, the way to a PNG file and into a page.

A picture is drawn once, on a `Figure` of its own and never through pyplot: no display is needed. In
a page it is an SVG whose text is text, in the page's font and colours, light or dark.
"""

import contextlib
import functools
import io
import logging
import re
import textwrap
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MultipleLocator

from data.storage.paths import AnyPath
from data.storage.whole import whole_file
from down_stream.report.wording import clock

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
CURVE_COLOURS = ("#3B74E8", "#03967C", "#C77A00", "#A350B0", "#D0493C")  # on white and on black
FAINT, RULE, GROUND = "#767676", "#E5E5E5", "#FEFEFE"  # that of GROUND is as good as white
SMALL = 9.5  # points: at least 12 pixels in a page

# Seconds between the labels of a time axis.
TIME_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000, 86400)

_IN_PAGE = {"#000000": "currentColor", FAINT: "var(--soft)", RULE: "var(--line)"}
_IN_PAGE |= {GROUND: "var(--ground)"}
_TOLD = "told:"
_XLINK = "{http://www.w3.org/1999/xlink}href"


def colour_of(number: int) -> str:
    """The colour of a class; -1 is unknown."""
    return UNKNOWN_COLOUR if number < 0 else CLASS_COLOURS[number % len(CLASS_COLOURS)]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, its size in inches, with a margin all around."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    return figure


def bare(axes: Axes, keep: str = "") -> None:
    """Takes away the frame, but for one side, and the ticks' dashes on the others."""
    for side, spine in axes.spines.items():
        spine.set_visible(side == keep)
    axes.tick_params(axis="y", length=0)
    if not keep:
        axes.tick_params(axis="x", length=0)


def legend_below(axes: Axes, columns: int = 2) -> None:
    """Names the curves below the picture, where no curve is."""
    place = {"loc": "upper left", "bbox_to_anchor": (0, -0.14), "ncols": columns}
    axes.legend(**place, frameon=False, fontsize=SMALL)


def tell(axes: Axes, text: str, x: float, y: float, width: float, height: float) -> None:
    """Makes a part of a picture, in data coordinates, tell a text when a page's reader points."""
    area = Rectangle((x, y), width, height, fill=False, linewidth=0, zorder=5, gid=_TOLD + text)
    area.set_in_layout(False)
    axes.add_patch(area)


def wrapped(name: str, width: int) -> str:
    """A name in as many lines as it needs."""
    return textwrap.fill(name, width)


def width_of(names: Iterable[str], size: float = SMALL) -> float:
    """Inches that the longest line takes."""
    lines = [line for name in names for line in name.splitlines()] or [""]
    font = FontProperties(family=_families("".join(lines)), size=size)
    with _without_glyph_warnings():
        measure = text_to_path.get_text_width_height_descent
        return max(measure(line, font, ismath=False)[0] for line in lines) / 72


def time_axis(axes: Axes, seconds: float) -> None:
    """Labels an x axis in seconds as clocks do, at round times that are few enough to be read."""
    step = next(step for step in TIME_STEPS if seconds <= 9 * step)
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(lambda second, _: clock(second))
    axes.set_xlabel("time")


def class_legend(figure: Figure, names: Sequence[str], has_unknown: bool) -> float:
    """Names the colours of classes above a figure's picture; returns the height in inches.

    There are as many columns as fit the width.
    """
    names = [wrapped(name, 38) for name in names]
    handles = [Patch(color=colour_of(k), label=name) for k, name in enumerate(names)]
    if has_unknown:
        handles.append(Patch(color=UNKNOWN_COLOUR, label="Unknown"))
    column = width_of(names) + 4.2 * SMALL / 72  # its patch and the gaps
    columns = min(len(handles), max(1, int((figure.get_figwidth() - 0.4) / column)))
    figure.legend(
        *(handles, [handle.get_label() for handle in handles]),
        **{"loc": "outside upper left", "ncols": columns, "frameon": False, "fontsize": SMALL},
        **{"handlelength": 1.2, "columnspacing": 1.6},
    )
    lines = max(name.count("\n") + 1 for name in names)
    return (1.5 * lines * -(-len(handles) // columns) + 1.5) * SMALL / 72


# The way out.


def save_png(figure: Figure, path: AnyPath) -> None:
    """Writes a PNG file; one that is there is replaced once the new one is complete."""
    # Agg has no picture of 2^16 pixels; a timeline of very many videos is drawn in fewer.
    dpi = min(figure.dpi, 65_000 / max(figure.get_size_inches()))
    with whole_file(path) as side:
        _save(figure, side, format="png", dpi=dpi)


def inline_svg(figure: Figure, description: str, prefix: str) -> str:
    """The figure as an SVG element for an HTML page; the same figure gives the same text.

    Args:
      figure: drawn.
      description: for who does not see it.
      prefix: of its ids, which must be its own in the page.
    """
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}):
        _save(figure, file, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(file.getvalue())
    for name in ("metadata", "defs"):  # who made it, and a style that would hold for all the page
        root.remove(root.find(f"{{*}}{name}"))
    width, height = (f"{96 * inches:g}" for inches in figure.get_size_inches())
    size = {"width": width, "height": height, "viewBox": root.get("viewBox")}
    root.attrib = size | {"role": "img", "aria-label": description}
    for element in list(root.iter()):
        _for_page(element, prefix)
    return ElementTree.tostring(root, encoding="unicode")


def _for_page(element: ElementTree.Element, prefix: str) -> None:
    """Changes an element of matplotlib's SVG to one that fits a page with others."""
    element.tag = element.tag.rpartition("}")[2]
    element.tail = None
    if element.tag != "text":
        element.text = None
    name, given = element.attrib.pop("id", ""), element.attrib
    if name.startswith(_TOLD):
        given["pointer-events"] = "all"
        ElementTree.SubElement(element, "title").text = name.removeprefix(_TOLD)
    elif element.tag in ("path", "clipPath") and name:  # no others are referred to
        given["id"] = prefix + name
    if "clip-path" in given:
        given["clip-path"] = given["clip-path"].replace("#", f"#{prefix}")
    if _XLINK in given:
        target = "".join(given.pop(_XLINK).split())
        given["href"] = f"#{prefix}{target[1:]}" if target.startswith("#") else target
    if "d" in given:
        given["d"] = re.sub(r"(\.\d\d)\d+", r"\1", " ".join(given["d"].split()))
    if "style" in given:
        style = re.sub(r"font-family: [^;]*; ", "", given["style"])
        for colour, called in _IN_PAGE.items():
            style = style.replace(colour.lower(), called)
        given["style"] = style


def _save(figure: Figure, file, **options) -> None:
    texts = figure.findobj(Text)
    family = _families("".join(text.get_text() for text in texts))
    for text in texts:
        text.set(parse_math=False, fontfamily=family)  # names may hold $
    with _without_glyph_warnings():
        figure.savefig(file, **options)


# Fonts: names of classes and videos may be of any script.


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
        logging.warning(
            "no installed font has %s: PNG files show boxes, report.html what the browser has",
            " ".join(map(chr, sorted(left))),
        )
    return chosen
