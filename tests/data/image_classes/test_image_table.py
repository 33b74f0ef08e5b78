"""CSVs about images: sequences, order, splits and folds, and what is wrong in them."""

import numpy as np
import pytest

from data.common.errors import InputError
from data.frames.opening import open_source
from tests.support.class_images import PARTS, prepare


def test_what_does_not_fit_is_named_and_not_used(tmp_path, folder, patients):
    text = patients.read_text().replace("cyst/1.png,c0\n", "")
    patients.write_text(text.replace("normal/4.png,n2", "gone.png,n2") + "0.png,c9\n,c1\n")
    (folder / "polyp10/9.png").write_bytes(b"")
    index, _, audit = prepare(tmp_path / "out", folder, patients)
    assert len(index) == 27
    for text in (
        f"patients.csv: no such image in {folder}: line 15: gone.png",
        f"patients.csv: several images of this name in {folder}: line 31: 0.png",
        "patients.csv: image is empty: line 32",
        "patients.csv: without 2 of 30 images: cyst/1.png, normal/4.png; not used",
        "polyp10/9.png: empty",
    ):
        assert sum(text in problem for problem in audit.problems) == 1, text


def test_images_are_called_by_whole_paths_and_from_home_too(
    tmp_path, folder, patients, monkeypatch
):
    monkeypatch.setenv("HOME", str(folder.parent))
    head, first, second, *rest = patients.read_text().splitlines()
    lines = [head, f"~/{folder.name}/{first}", f"{folder}/../{folder.name}/{second}", *rest]
    patients.write_text("\n".join(lines))
    index, _, audit = prepare(tmp_path / "out", folder, patients)
    assert (len(index), audit.problems) == (30, [])


def test_semicolons_and_bare_names_as_spreadsheets_write_them(tmp_path, folder):
    for number in range(10):
        for kind in ("cyst", "normal", "polyp10"):
            (folder / kind / f"{number}.png").rename(folder / kind / f"{kind}{number}.png")
    path = tmp_path / "p.csv"
    names = [file.name for file in sorted(folder.glob("*/*.png"))]
    rows = [f"{name};A;{place % 5}" for place, name in enumerate(names)]
    path.write_text("\ufeff" + "\r\n".join(["image;site;sequence", *rows]))
    index, _, audit = prepare(tmp_path / "out", folder, path)
    assert audit.problems == []
    assert index.videos == ("0", "1", "2", "3", "4")
    assert index.select(["0"]).frame.tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture,patient\n", "no column 'image' in 'picture,patient'"),
        ("", "no column 'image'"),
        (
            "image,sequence\ncyst/0.png,a\ncyst/0.png,b\n",
            r"line 3: cyst/0.png is of b and of a \(sequence\)",
        ),
        (None, "no such file"),
        ("image,sequence\ncyst/0.png,M\udc81ller\n", "not text in UTF-8"),
    ],
)
def test_tables_that_are_none(tmp_path, folder, text, message):
    path = tmp_path / "p.csv"
    if text is not None:
        path.write_text(text, errors="surrogateescape")
    with pytest.raises(InputError, match=message):
        prepare(tmp_path / "out", folder, path)
    assert not (tmp_path / "out").exists()


def test_a_given_split_and_its_sequences(tmp_path, folder, patients):
    rows = patients.read_text().splitlines()[1:]
    split = tmp_path / "split.csv"
    parts = ["train", "train", "valid", "Test", "test"]
    lines = [f"{row.split(',')[0]};{parts[int(row[-1])]}" for row in rows]
    split.write_text("\n".join(["image;split", *lines]))
    _, manifest, _ = prepare(tmp_path / "out", folder, patients, split=split)
    given = manifest["protocols"]["as given"]
    assert [given[part]["videos"] for part in PARTS] == [
        [f"{kind}{n}" for kind in "cnp" for n in numbers] for numbers in ((0, 1), (2,), (3, 4))
    ]
    split.write_text("\n".join(["image,split", "cyst/0.png,train", "cyst/1.png,test"]))
    with pytest.raises(InputError, match=r"1 sequences are in several parts .*\(c0; .*test, train"):
        prepare(tmp_path / "torn", folder, patients, split=split)
    split.write_text("image,split\ncyst/0.png,training\ncyst/1.png,both\n")
    with pytest.raises(InputError, match="split both; expected train, validation or test"):
        prepare(tmp_path / "wrong", folder, split=split)
    split.write_text("image,fold\ngone.png,1\n")  # is no draw of another split
    with pytest.raises(InputError, match="no usable image"):
        prepare(tmp_path / "none", folder, split=split)


def test_folds_are_protocols(tmp_path, folder, patients):
    rows = patients.read_text().splitlines()
    table = "\n".join([rows[0] + ",fold", *(f"{row},{int(row[-1]) % 3}" for row in rows[1:])])
    patients.write_text(table)
    _, manifest, _ = prepare(tmp_path / "out", folder, patients)
    assert list(manifest["protocols"]) == ["fold 0", "fold 1", "fold 2"]
    assert manifest["default"] == "fold 0"
    for fold, numbers in enumerate(((0, 3), (1, 4), (2,))):
        split = manifest["protocols"][f"fold {fold}"]
        assert split["test"]["videos"] == [f"{kind}{n}" for kind in "cnp" for n in numbers]
        assert len(split["validation"]["videos"]) == 3
        assert not set(split["train"]["videos"]) & set(split["validation"]["videos"])


@pytest.mark.parametrize(
    ("column", "values", "numbers", "fps"),
    [
        ("second", ["4.5", "0", "2"], [10, 1, 5], 2),
        ("time", ["0:01:00", "0:00:01", "0:00:30"], [61, 2, 31], 1),
        ("frame", ["3", "1", "7"], [3, 1, 7], 1),
    ],
)
def test_a_table_orders_images(tmp_path, folder, column, values, numbers, fps):
    table = tmp_path / "t.csv"
    rows = [f"cyst/{n}.png,p1,{value}" for n, value in enumerate(values)]
    rows += [f"normal/{n}.png,p2,{n + 1}" for n in range(3)]
    table.write_text("\n".join([f"image,sequence,{column}", *rows]))
    index, _, _ = prepare(tmp_path / "out", folder, table)
    rows = index.select(["p1"])
    assert rows.frame.tolist() == sorted(numbers)
    files = [path.rpartition("/")[2] for path in rows.paths(slice(None))]
    assert files == [f"{n}.png" for n in np.argsort(numbers)]
    assert index.fps.tolist() == [fps] * 2
    frames = open_source("images", tmp_path / "out")
    assert frames.second[:3].tolist() == [(n - 1) / fps for n in sorted(numbers)]
    table.write_text(f"image,sequence,{column}\ncyst/1.png,a,soon\n")
    with pytest.raises(InputError, match=f"{column} soon; expected numbers, or times"):
        prepare(tmp_path / "wrong", folder, table)
    table.write_text(f"image,sequence,{column}\ncyst/1.png,a,1\nnormal/1.png,a,1\n")
    with pytest.raises(InputError, match="a: two images at one time"):
        prepare(tmp_path / "twice", folder, table)


def test_a_thousand_wrong_names_are_a_short_line(tmp_path, folder):
    table = tmp_path / "t.csv"
    table.write_text("image,sequence\n" + "".join(f"gone{n}.png,p\n" for n in range(1000)))
    with pytest.raises(InputError, match=r"no usable image.* and 997 more") as error:
        prepare(tmp_path / "out", folder, table)
    assert len(str(error.value)) < 1000
