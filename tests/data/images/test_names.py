"""Names that look alike: told, and joined where one accent is written in two ways."""

import unicodedata
from pathlib import PurePath

import pytest

from data.annotations.patients import take_patients
from data.dataset.audit import Audit
from data.images.names import say_alike
from data.preparation.operations import read_operations
from data.splits.overlaps import overlaps
from data.splits.parts import expand
from data.splits.patients import read_patients
from tests.data.image_classes.test_image_table import prepare
from tests.support.class_images import write_image
from tests.support.forked_commands import call
from tests.support.small_videos import write_video

MAC, OTHERS = (unicodedata.normalize(form, "Vidéo") for form in ("NFD", "NFC"))


def test_what_looks_alike_is_one_line():
    assert say_alike(["a", "b", OTHERS], "videos") == []
    (line,) = say_alike(["Op", "x", "op", MAC, OTHERS], "videos")
    assert line.startswith(r"Op and op; 'Vide\u0301o' and 'Vid\xe9o': told apart by case, or")
    assert "different videos" in line
    (line,) = say_alike([*"abcdefg", *"ABCDEFG"], "classes")
    assert line.startswith("a and A; b and B; c and C and 4 more: ")


def test_a_pattern_stands_for_names_however_accents_are_written():
    videos = [f"{OTHERS}_1", f"{MAC}_2", "other"]
    for pattern in (f"{MAC}*", f"{OTHERS}*", f"?id{MAC[3:]}_[12]"):
        assert set(expand((pattern,), videos)) == set(videos[:2])


@pytest.mark.parametrize("names", [("Op", "op"), (MAC, OTHERS)])
@pytest.mark.parametrize("kind", ["videos", "classes"])
def test_the_audit_says_it(tmp_path, names, kind):
    command = ["prepare.py", f"--data_rootdir={tmp_path}", "--name=a"]
    for name in names:
        if kind == "videos":
            write_video(tmp_path / "given" / f"{len(name)}.mp4", frames=50)
            (tmp_path / "given" / f"{len(name)}.mp4").rename(tmp_path / "given" / f"{name}.mp4")
        else:
            write_image(tmp_path / "given" / name / f"{name[0]}.png")
    command += [f"--videos={tmp_path}/given"] if kind == "videos" else []
    command += ["--dataset=classes", f"--images={tmp_path}/given"] if kind == "classes" else []
    done = call(*command)
    assert done.returncode == 0, done.stderr
    assert f"taken for different {kind}; expected one name where" in done.stdout


@pytest.mark.parametrize(("on_disk", "in_table"), [(MAC, OTHERS), (OTHERS, MAC)])
def test_tables_find_names_however_accents_are_written(tmp_path, on_disk, in_table):
    for kind in ("a", "b"):
        write_image(tmp_path / "images" / kind / f"{on_disk}.png")
    table = tmp_path / "table.csv"
    table.write_text(f"image,sequence\na/{in_table}.png,1\nb/{in_table}.png,2\n", "utf-8")
    index, _, audit = prepare(tmp_path / "out", tmp_path / "images", table)
    assert audit.problems == []
    assert index.videos == ("1", "2")

    file = tmp_path / f"{on_disk}.mp4"
    file.write_bytes(b"video")
    table.write_text(f"file,operation,order\n{in_table}.mp4,op,1\n", "utf-8")
    assert read_operations(table, tmp_path, {on_disk: file}, audit) == {"op": {1: on_disk}}

    table.write_text(f"video,patient\n{in_table}/1.mp4,P\n", "utf-8")
    places = {"1": PurePath(on_disk, "1.mp4"), "other": PurePath("other", "1.mp4")}
    take_patients(tmp_path, table, places, places, Audit())
    assert read_patients(tmp_path).find("1")[0] == "patient P"
    assert audit.problems == []


def test_splits_and_leakage_know_both_ways():
    assert expand((OTHERS,), (MAC, "x")) == (MAC,)
    assert expand((OTHERS,), (MAC, OTHERS)) == (OTHERS,)
    assert overlaps([MAC], [OTHERS, "x"])[0] == [f"{MAC} ({OTHERS})"]
