"""Strips of small pictures in a page, each with its time and a link into the recording."""

import base64
from collections.abc import Iterable
from html import escape
from pathlib import Path

import cv2
import numpy as np

from data.annotation_formats.clock_times import clock
from data.images.names import is_image
from data.storage.paths import is_remote
from down_stream.lookup.pictures import Pictures
from down_stream.lookup.tables import Rows

HEIGHT, QUALITY = 90, 70  # pixels, and of JPEG
STYLE = """<style>
.strip { display: flex; gap: 6px; overflow-x: auto; margin: 0 0 18px; }
.strip figure { flex: none; margin: 0; min-width: 60px; }
.strip img { display: block; height: 90px; }
.strip .missing { width: 120px; height: 90px; padding: 8px; background: var(--card); }
.strip .missing, .strip figcaption { font-size: 13px; }
h3 { margin-top: 16px; }
</style>"""


def strip(rows: Rows, shown: Iterable[int], pictures: Pictures) -> str:
    """The frames at the positions `shown`, as HTML; a page with strips has `STYLE`, too."""
    figures = []
    for row in shown:
        path, second = str(rows.path[row]), float(rows.second[row])
        when = "" if np.isnan(second) else clock(second)
        image = thumbnail(pictures.read(path, second))
        figures.append(figure(image, when, link_to(path, pictures.in_file(path, second))))
    return f'<div class="strip" tabindex="0">{"".join(figures)}</div>'


def thumbnail(image: np.ndarray | None, height: int = HEIGHT) -> str:
    """A picture as the address of an <img>; "" where there is none."""
    if image is None:
        return ""
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"


def figure(source: str, caption: str, link: str = "") -> str:
    """A picture with a caption as HTML, which leads somewhere where `link` is given."""
    picture = '<div class="missing">no picture here</div>'
    if source:
        picture = f'<img src="{source}" alt="{escape(caption)}" loading="lazy">'
    if link:
        picture = f'<a href="{escape(link)}">{picture}</a>'
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def link_to(path: str, second: float = np.nan) -> str:
    """An address that opens a local recording at a second, or an image; "" where it is not here."""
    if not path or is_remote(path) or not Path(path).is_file():
        return ""
    address = Path(path).absolute().as_uri()
    return address if is_image(Path(path).name) or np.isnan(second) else f"{address}#t={second:g}"
