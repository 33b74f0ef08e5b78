import pytest

from tests.support.class_images import write_image


@pytest.fixture
def folder(tmp_path):
    """Three classes, ten images of each, two of a patient; patients of one class each."""
    folder = tmp_path / "images"
    for kind in ("cyst", "normal", "polyp10"):
        for number in range(10):
            write_image(folder / kind / f"{number}.png")
    return folder


@pytest.fixture
def patients(folder):
    path = folder.parent / "patients.csv"
    rows = [
        f"{kind}/{number}.png,{kind[0]}{number // 2}"
        for kind in ("cyst", "normal", "polyp10")
        for number in range(10)
    ]
    path.write_text("\n".join(["image,sequence", *rows]) + "\n")
    return path
