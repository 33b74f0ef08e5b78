"""A PolypsSet of a few tiny frames, in the archive's layout."""

import cv2
import numpy as np

SIZE = (40, 30)


def write_frame(folder, name, objects=(), path="", suffix=".jpg", grey=90):
    """An image and its annotation; `objects` are (name, (left, top, right, bottom))."""
    write_image(folder, name, suffix, grey)
    write_annotation(folder, name, objects, path)


def write_image(folder, name, suffix=".jpg", grey=90):
    image = folder / "Image" / f"{name}{suffix}"
    image.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((SIZE[1], SIZE[0], 3), grey, np.uint8)
    pixels[10:20, 12:20] = 200  # what the usual box shows
    cv2.imwrite(str(image), pixels)
    return image


def write_annotation(folder, name, objects=(), path=""):
    annotation = folder / "Annotation" / f"{name}.xml"
    annotation.parent.mkdir(parents=True, exist_ok=True)
    found = ""
    for kind, (left, top, right, bottom) in objects:
        found += (
            f"<object><name>{kind}</name><bndbox><xmin>{left}</xmin><ymin>{top}</ymin>"
            f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
        )
    tags = f"<folder>wrong</folder><filename>7.png</filename><path>{path}</path>"
    annotation.write_text(f"<annotation>{tags}{found}</annotation>")
    return annotation


BOX = (12, 10, 20, 20)


def write_polypsset(top):
    """Two training folders of each class, shuffled; two sequences to validate, two to test."""
    for number in range(1, 9):
        kind = ("hyperplastic", "adenomatous")[number % 2]
        source = f"D:\\hp\\{number % 4}\\{number}.png"
        if kind == "adenomatous":
            source = f"/home/x/adenoma/{number % 4}"
        write_frame(top / "train2019", str(number), [(kind, BOX)], source)
    for part in ("val2019", "test2019"):
        for sequence, kind in ((3, "hyperplastic"), (12, "adenomatous")):
            for frame in (1, 2, 10):
                write_frame(top / part, f"{sequence}/{frame}", [(kind, BOX)], "/wrong/3.png")
    return top
