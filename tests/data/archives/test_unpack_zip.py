"""Zip archives: complete, or refused; never outside the target."""

import stat
import zipfile

import pytest

from data.archives.unpack_zip import list_zip, unpack_zip
from data.common.errors import InputError


def write_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_unpacking_goes_on_where_it_stopped(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a/1.txt": "one", "a/b/2.txt": "two", "a/.x": "hidden"})
    target = tmp_path / "out"
    (target / "a").mkdir(parents=True)
    (target / "a/1.txt").write_text("ONE")  # of the right size: it is there
    (target / "a/b").mkdir()
    (target / "a/b/2.txt").write_text("t")
    unpack_zip(path, target)
    assert (target / "a/1.txt").read_text() == "ONE"
    assert (target / "a/b/2.txt").read_text() == "two"
    assert sorted(p.name for p in target.rglob("*")) == ["1.txt", "2.txt", "a", "b"]


@pytest.mark.parametrize(
    "name",
    [
        *("../out.txt", "/out.txt", "a/../../out.txt", "..\\out.txt", "a\\..\\..\\out.txt"),
        *("C:\\out.txt", "c:/out.txt", "\\\\server\\share\\out.txt"),
    ],
)
def test_nothing_is_written_outside(tmp_path, name):
    path = write_zip(tmp_path / "a.zip", {"good.txt": "x", name: "x"})
    with pytest.raises(InputError, match=r"out\.txt.*leads out of"):
        unpack_zip(path, tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("*.txt"))


def test_names_of_windows_are_names(tmp_path):
    """Some programs write the separator that the format does not have."""
    files = {"a\\b\\1.txt": "one", "a\\": "", "a\\.x": "hidden"}
    path = write_zip(tmp_path / "a.zip", files)
    unpack_zip(path, tmp_path / "out")
    assert (tmp_path / "out/a/b/1.txt").read_text() == "one"
    assert sorted(p.name for p in (tmp_path / "out").rglob("*")) == ["1.txt", "a", "b"]
    assert list_zip(path)[0] == "a/b/1.txt"
    twice = write_zip(tmp_path / "twice.zip", {"a\\b.txt": "x", "a/b.txt": "y"})
    with pytest.raises(InputError, match=r"a/b\.txt' is in it twice"):
        unpack_zip(twice, tmp_path / "out2")


def test_links_are_refused_and_not_followed(tmp_path):
    member = zipfile.ZipInfo("link")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = write_zip(tmp_path / "a.zip", {member: "/etc"})
    with pytest.raises(InputError, match="neither a file nor a folder"):
        unpack_zip(path, tmp_path / "out")
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out/a").symlink_to(tmp_path)
    with pytest.raises(InputError, match="leads out"):
        unpack_zip(write_zip(tmp_path / "b.zip", {"a/new.txt": "x"}), tmp_path / "out")
    assert not (tmp_path / "new.txt").exists()


def test_damage_is_found(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"1.txt": "x" * 5000})
    data = bytearray(path.read_bytes())
    data[40:44] = b"\0\1\2\3"
    path.write_bytes(data)
    with pytest.raises(InputError, match="cannot be unpacked"):
        unpack_zip(path, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir()), "nothing half-written"
