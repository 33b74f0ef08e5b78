"""Members of an archive that would be written outside of the target."""

import tarfile

import pytest

from data.archives.unpack_tar import unpack
from data.common.errors import InputError
from tests.support.archives import FILES, check_unpacked, make_tar, names, one_line

FOLDER = {"type": tarfile.DIRTYPE}


def link(to, kind=tarfile.SYMTYPE):
    return {"type": kind, "linkname": to}


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"../evil": b"x"}, "leads out"),
        ({"videos/../../evil": b"x"}, "leads out"),
        ({"videos/../evil": b"x"}, "leads out"),
        ({"cholec80/../../evil": b"x"}, "leads out"),
        ({"/evil": b"x"}, "leads out"),
        ({"{target}/evil": b"x"}, "leads out"),
        ({"..": b"x"}, "leads out"),
        ({"cholec80": b"x"}, "leads out"),
        ({".": b"x"}, "leads out"),
        ({"../evil": FOLDER}, "leads out"),
        ({"link": link(".."), "link/evil": b"x"}, "neither a file nor a folder"),
        ({"link": link("videos")}, "neither a file nor a folder"),
        ({"a": b"x", "link": link("a", tarfile.LNKTYPE)}, "neither a file nor a folder"),
        ({"link": link("../secret", tarfile.LNKTYPE)}, "neither a file nor a folder"),
        ({"pipe": {"type": tarfile.FIFOTYPE}}, "neither a file nor a folder"),
        ({"disk": {"type": tarfile.BLKTYPE, "devmajor": 8}}, "neither a file nor a folder"),
        ({"null": {"type": tarfile.CHRTYPE, "devmajor": 1}}, "neither a file nor a folder"),
        ({"nul": {"pax_headers": {"path": "nul\0byte"}}}, "embedded null"),
        ({"a": b"x", "./a": b"y"}, "twice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_malicious_members_are_refused(tmp_path, members, reason):
    target = tmp_path / "out" / "cholec80"
    members = {name.format(target=target): content for name, content in members.items()}
    (tmp_path / "secret").write_bytes(b"secret")
    archive = make_tar(tmp_path / "a.tar", members)
    with pytest.raises(InputError) as error:
        unpack(archive, target)
    assert one_line(error, archive, reason)
    before = {"out/cholec80/a"} if "a" in members else set()  # the good file before the bad one
    there = {path for path in tmp_path.rglob("*") if path not in (target, target.parent)}
    assert {str(path.relative_to(tmp_path)) for path in there} == {"a.tar", "secret", *before}
    assert (tmp_path / "secret").read_bytes() == b"secret"


def test_links_from_earlier_times_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"before")
    target = tmp_path / "cholec80"
    target.mkdir()
    (target / "videos").symlink_to(outside)
    (target / "file").symlink_to(outside / "kept")
    (target / ".part-file").symlink_to(outside / "kept")
    for members in ({"videos/evil": b"x"}, {"videos/sub": {"type": tarfile.DIRTYPE}}):
        with pytest.raises(InputError, match="leads out of"):
            unpack(make_tar(tmp_path / "a.tar", members), target)
    unpack(make_tar(tmp_path / "a.tar", {"file": b"after!"}), target)  # as long as "before"
    assert names(outside) == ["kept"]
    assert (outside / "kept").read_bytes() == b"before"
    assert (target / "file").read_bytes() == b"after!"
    assert not (target / "file").is_symlink()


def test_a_target_that_is_a_link_itself_is_the_users_choice(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "cholec80").symlink_to(tmp_path / "disk")
    unpack(make_tar(tmp_path / "a.tar", FILES), tmp_path / "cholec80")
    check_unpacked(tmp_path / "disk", FILES)
