"""What every figure has in common: colours, fonts, the way to a PNG file and into a page.

A picture is drawn once, on a `Figure` of its own and never through pyplot: no display is needed. In
a page it is an SVG whose text is text, in the page's font and colours, light or dark.
"""

import io
import re
import textwrap
from collections.abc import Sequence
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MultipleLocator

from data.annotation_formats.clock_times import clock
from data.overview.drawing import CLASS_COLOURS as CLASS_COLOURS
from data.overview.drawing import SMALL, UNKNOWN_COLOUR, colour_of, save_figure, width_of
from data.storage.paths import AnyPath
from data.storage.whole import whole_file

CURVE_COLOURS = ("#3B74E8", "#03967C", "#C77A00", "#A350B0", "#D0493C")  # on white and on black
FAINT, RULE, GROUND = "#767676", "#E5E5E5", "#FEFEFE"  # that of GROUND is as good as white

# Seconds between the labels of a time axis.
TIME_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000, 86400)

_IN_PAGE = {"#000000": "currentColor", FAINT: "var(--soft)", RULE: "var(--line)"}
_IN_PAGE |= {GROUND: "var(--ground)"}
_TOLD = "told:"
_XLINK = "{http://www.w3.org/1999/xlink}href"


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
        save_figure(figure, side, format="png", dpi=dpi)


def inline_svg(figure: Figure, description: str, prefix: str) -> str:
    """The figure as an SVG element for an HTML page; the same figure gives the same text.

    Args:
      figure: drawn.
      description: for who does not see it.
      prefix: of its ids, which must be its own in the page.
    """
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}):
        save_figure(figure, file, format="svg", transparent=True, metadata={"Date": None})
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
