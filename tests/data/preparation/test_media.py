import re
import shutil

import pytest

from data.archives.unpacking import needs_archive
from data.common.errors import InputError
from data.dataset.audit import Audit
from data.images.linking import drop_replaced, link_images
from data.preparation.media import find_media, has_media, own_videos
from data.video.parts import VideoFiles
from tests.support.class_images import write_image
from tests.support.small_dicoms import H264, JPEG, h264, jpegs, write_dicom
from tests.support.small_videos import write_video


def find(folder, operations=None, join_parts=False, audit=None):
    return find_media(folder, operations, join_parts, folder / "out", audit or Audit())


def test_a_dataset_with_files_needs_no_archive(tmp_path):
    (tmp_path / "videos").mkdir()
    assert needs_archive(tmp_path, has_media)
    (tmp_path / "videos" / "op.mp4").touch()
    assert not needs_archive(tmp_path, has_media)
    (tmp_path / ".unpacking").touch()  # stopped while unpacking
    assert needs_archive(tmp_path, has_media)


def test_a_dataset_of_record_files_needs_no_archive(tmp_path):
    (tmp_path / "video01.tfrecord").touch()
    assert not needs_archive(tmp_path, has_media)


def test_media_are_found_recursively_but_not_in_the_dataset(tmp_path):
    for name in (
        *("op1.MP4", "case/op2.mkv", "case/.hidden.mp4", ".trash/op3.mp4", "a-1.jpg", "b/2.png"),
        *("list.csv", "out/frames/op1/op1_000001.jpg", "out/videos/op9.mp4"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    media = find(tmp_path)
    assert media.videos == {
        "op2": VideoFiles((tmp_path / "case" / "op2.mkv",)),
        "op1": VideoFiles((tmp_path / "op1.MP4",)),
    }
    assert media.images == {"a": [tmp_path / "a-1.jpg"], "b": [tmp_path / "b" / "2.png"]}
    assert media.others == [tmp_path / "list.csv"]
    assert own_videos(tmp_path / "out", Audit()) == {
        "op9": VideoFiles((tmp_path / "out" / "videos" / "op9.mp4",))
    }
    assert own_videos(tmp_path / "absent", Audit()) == {}


def test_links_into_the_dataset_are_not_followed(tmp_path):
    folder, root = tmp_path / "recordings", tmp_path / "ours"
    write_video(folder / "op1.mp4", frames=5)
    write_video(tmp_path / "elsewhere" / "op2.mp4", frames=5)
    write_video(root / "videos" / "op3.mp4", frames=5)
    for number, place in ((2, tmp_path / "elsewhere"), (3, root / "videos")):
        (folder / f"op{number}.mp4").symlink_to(place / f"op{number}.mp4")
    (folder / "below").symlink_to(root / "videos")
    assert list(find_media(folder, None, False, root, Audit()).videos) == ["op1", "op2"]


def test_a_video_and_images_with_one_name_are_refused(tmp_path):
    (tmp_path / "op").mkdir()
    for name in ("op.mp4", "op/1.jpg"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="rename"):
        find(tmp_path)


def test_a_file_instead_of_a_folder_is_said(tmp_path):
    (tmp_path / "op.mp4").touch()
    with pytest.raises(InputError, match=r"op\.mp4: a file; expected the folder it lies in"):
        find(tmp_path / "op.mp4")


def test_dicom_stills_are_named_with_the_commands_that_take_them(tmp_path):
    for number in (1, 2):
        write_dicom(tmp_path / f"{number}.dcm", jpegs(1), JPEG)
    stills = "2 DICOM files are still images, .*--dataset=classes --images .*--image_path"
    with pytest.raises(InputError, match=f"no videos or images in it; {stills}"):
        find(tmp_path)
    write_dicom(tmp_path / "op.dcm", h264(1), H264, 1)
    audit = Audit()
    assert list(find(tmp_path, audit=audit).videos) == ["op"]
    assert re.match(stills, *audit.remarks)


def test_a_dicom_file_and_a_video_of_one_name_get_two(tmp_path):
    dicom = write_dicom(tmp_path / "in" / "a" / "op.dcm", h264(40), H264, 40, CineRate=10)
    video = write_video(tmp_path / "in" / "b" / "op.mp4")
    other = write_video(tmp_path / "in" / "c" / "op_dcm.mp4")
    audit = Audit()
    media = find(tmp_path / "in", audit=audit)
    assert {name: files.files for name, files in media.videos.items()} == {
        "op": (video,),
        "op_2": (dicom,),
        "op_dcm": (other,),
    }
    assert f"a DICOM file: named op_2, as op is {video}" in audit.remarks
    assert find(tmp_path / "in").videos == media.videos, "the next night, too"


def test_a_video_does_not_get_the_name_of_images_of_an_earlier_night(tmp_path):
    images = [tmp_path / "images" / "op" / f"op_{n:06d}.png" for n in (1, 2)]
    for image in images:
        write_image(image)
    root, audit = tmp_path / "data", Audit()
    drop_replaced({"op": images}, root / "frames")
    link_images({"op": images}, root / "frames")
    video = write_video(tmp_path / "videos" / "op.mp4", frames=50)
    media = find_media(tmp_path / "videos", None, False, root, audit)
    assert {name: files.files for name, files in media.videos.items()} == {"videos_op": (video,)}
    assert any("named videos_op" in remark for remark in audit.remarks)
    shutil.rmtree(root / "frames" / "op")
    assert list(find_media(tmp_path / "videos", None, False, root, Audit()).videos) == ["op"]


def test_names_that_no_frame_could_have_are_left_out_and_said(tmp_path):
    """A file may have 255 bytes in its name; those of its frames have more than it has."""
    long, folders = f"{'é' * 120}.mp4", ("a" * 120, "b" * 120)
    for file in (tmp_path / long, tmp_path / "op.mp4"):
        file.touch()
    write_image(tmp_path.joinpath(*folders, "1.png"))
    write_image(tmp_path / "c" / "1.png")
    audit = Audit()
    media = find(tmp_path, audit=audit)
    assert set(media.videos) == {"op"} and set(media.images) == {"c"}
    assert not media.is_whole
    assert re.search(r"b: the video's name would have 241 bytes; expected 220", audit.problems[0])
    assert "ééé.mp4: the video's name would have 240 bytes" in audit.problems[1]
    (tmp_path / "out" / "videos").mkdir(parents=True)
    (tmp_path / "out" / "videos" / long).touch()
    assert not own_videos(tmp_path / "out", audit) and len(audit.problems) == 3
