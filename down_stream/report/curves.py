"""Curves of a report as SVG: learning curves and ROC. The text in them does not shrink.

Each function gives a `down_stream.report.page.Section`, or None where there is nothing to draw.
"""

from html import escape

import numpy as np
from matplotlib.ticker import MaxNLocator

from down_stream.metrics.predictions import Predictions
from down_stream.report import plots, wording
from down_stream.report.page import Section


def learning_curves(history: dict[str, list[float]], best_epoch: int | None) -> Section | None:
    """Losses and metrics over the epochs; None where no epoch was recorded.

    Args:
      history: name -> one value per epoch.
      best_epoch: counted from 0, the one that was tested.
    """
    panels = "".join(_panel(title, part, best_epoch) for title, part in plots.panels(history))
    if not panels:
        return None
    tested = "" if best_epoch is None else f" Dotted: the epoch that was tested, {best_epoch + 1}."
    return Section("Learning curves", f'<div class="panels">{panels}</div>', _DASHES + tested)


def roc(predictions: Predictions) -> Section | None:
    """ROC curve of a two-class task; None unless both classes are in the truth."""
    curve = plots.roc(predictions)
    if curve is None:
        return None
    false, true, area, (x, y) = curve
    positive = wording.words(predictions.classes[1])
    keep = np.unique(np.linspace(0, len(false) - 1, 400).astype(int))  # more is not to be seen
    plot = _Plot((0, 1), (0, 1), height=340)
    drawn = (
        plot.axes("1 - specificity", "sensitivity")
        + f'<path class="grid" d="{plot.line([0, 1], [0, 1])}"/>'
        + f'<path class="curve k0" d="{plot.line(false[keep], true[keep])}"/>'
        + f'<circle class="point k0" r="5" cx="{plot.x(x):.1f}" cy="{plot.y(y):.1f}"/>'
    )
    name = f"ROC curve of {positive}, area {area:.3f}"
    return Section(
        "ROC curve",
        f'<div class="panels"><figure>{plot.svg(drawn, name)}</figure></div>',
        f"Of the probability of {positive}; area under the curve {area:.3f}. The point is where "
        f"the prediction stands: sensitivity {100 * y:.1f} %, specificity {100 * (1 - x):.1f} %.",
    )


_DASHES = "Solid: validation, or what was measured once an epoch; dashed: training."


def _panel(title: str, curves: dict[str, np.ndarray], best_epoch: int | None) -> str:
    """Curves, each float [epochs], with their legend."""
    epochs = max(map(len, curves.values()))
    values = np.concatenate(list(curves.values()))
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0, 1)
    plot = _Plot((1, max(epochs, 2)), (min(low, 0) if low < 0.3 * high else low, high))
    drawn, keys = plot.axes("epoch", ""), []
    if best_epoch is not None:
        x = plot.x(best_epoch + 1)
        drawn += f'<path class="best" d="M{x:.1f} {plot.top}V{plot.bottom}"/>'
    for name, colour, is_dashed in plots.styles(curves):
        style = f"curve k{colour}{' dashed' if is_dashed else ''}"
        at = np.flatnonzero(np.isfinite(curves[name]))
        drawn += f'<path class="{style}" d="{plot.line(at + 1, curves[name][at])}"/>'
        if len(at) == 1:
            x, y = plot.x(at[0] + 1), plot.y(curves[name][at[0]])
            drawn += f'<circle class="point k{colour}" r="4" cx="{x:.1f}" cy="{y:.1f}"/>'
        line = (
            f'<svg viewBox="0 0 26 10" aria-hidden="true"><path class="{style}" d="M0 5H26"/></svg>'
        )
        keys.append(f"<li>{line}{escape(name)}</li>")
    return (
        f"<figure><h3>{title}</h3>{plot.svg(drawn, f'{title} over {epochs} epochs')}"
        f'<ul class="legend key">{"".join(keys)}</ul></figure>'
    )


class _Plot:
    """Coordinates of a little picture with two linear axes, and its SVG."""

    left, right, top = 42, 330, 10

    def __init__(self, across: tuple[float, float], up: tuple[float, float], height: int = 240):
        self.height, self.bottom = height, height - 38
        self.across = across
        ticks = MaxNLocator(5, min_n_ticks=2).tick_values(*up)
        self.up, self.y_ticks = (ticks[0], ticks[-1]), ticks

    def x(self, value):
        low, high = self.across
        return self.left + (value - low) / (high - low) * (self.right - self.left)

    def y(self, value):
        low, high = self.up
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)

    def line(self, x, y) -> str:
        points = zip(self.x(np.asarray(x)), self.y(np.asarray(y)), strict=True)
        return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points)

    def axes(self, x_name: str, y_name: str) -> str:
        parts = []
        for value in self.y_ticks:
            y = self.y(value)
            parts.append(f'<path class="grid" d="M{self.left} {y:.1f}H{self.right}"/>')
            parts.append(_text(self.left - 6, y + 4, "end", f"{value:.4g}"))
        whole = self.across[1] > 1
        for value in MaxNLocator(6, integer=whole, min_n_ticks=2).tick_values(*self.across):
            if self.across[0] <= value <= self.across[1]:
                parts.append(_text(self.x(value), self.bottom + 16, "middle", f"{value:.4g}"))
        middle = (self.left + self.right) / 2
        parts.append(_text(middle, self.bottom + 33, "middle", x_name))
        if y_name:
            parts.append(
                f'<text transform="translate(11 {(self.top + self.bottom) / 2}) rotate(-90)" '
                f'text-anchor="middle">{escape(y_name)}</text>'
            )
        return "".join(parts)

    def svg(self, content: str, name: str) -> str:
        return (
            f'<div class="scroll"><svg viewBox="0 0 340 {self.height}" role="img" '
            f'aria-label="{escape(name)}">{content}</svg></div>'
        )


def _text(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
