"""TF-Cholec80's record files in a folder: which files they are, and of which video.

The names of the files in the public archive are documented nowhere: TF-Cholec80 takes whatever its
folder holds, in the order of names (CAMMA-public/TF-Cholec80, tf_cholec80/dataset.py). Here a file
is known by its content and its video by the number in its name.
"""

import re
import struct

from data.common.errors import InputError
from data.dataset.cholec80 import video_name
from data.images.names import natural_key
from data.storage.folders import read_part
from data.storage.paths import AnyPath

_VIDEO_NUMBER = re.compile(r"(?:^|video|[-_ ])0*(\d+)$", re.IGNORECASE)


def find_records(folder: AnyPath) -> dict[str, AnyPath]:
    """Finds the record files that lie in a folder, one per video.

    Returns:
      {"video07": file}, sorted; empty where there are none or no folder. `video07.tfrecord`, `07`
      and `cholec80_video_7.bin` would all be video07.

    Raises:
      InputError: a record file has no number in its name, or two have the same.
    """
    files = folder.iterdir() if folder.is_dir() else ()
    found = {}
    for file in sorted(filter(is_record_file, files), key=lambda file: natural_key(file.name)):
        video = video_of_record(file.name)
        if video is None:
            raise InputError(f"{file}: a record file of no video; name it like video07.tfrecord")
        if video in found:
            raise InputError(f"{file} and {found[video]}: both of {video}; move one of them away")
        found[video] = file
    return dict(sorted(found.items(), key=lambda item: natural_key(item[0])))


def video_of_record(name: str) -> str | None:
    """The video that a record file is of, by the number at the end of its name before a dot."""
    match = _VIDEO_NUMBER.search(name.partition(".")[0])
    return match and video_name(int(match[1]))


def is_record_file(file: AnyPath) -> bool:
    """Whether a file is named or begins as TensorFlow's TFRecord files do; hidden files are none.

    They begin with the length of the first record, uint64, and its checksum
    (https://www.tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details").
    """
    if file.name.startswith(".") or not file.is_file():
        return False
    if "tfrecord" in file.suffix.lower():  # damaged ones shall be named, not overlooked
        return True
    if file.stat().st_size < 12:
        return False
    begin = read_part(file, 0, 12)
    return struct.unpack("<I", begin[8:])[0] == _masked_crc32c(begin[:8])


def _masked_crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
