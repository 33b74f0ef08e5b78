"""Images that appear in a dataset directory without being copied."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from data.common.errors import InputError
from data.images.completeness import find_fault
from data.storage.whole import whole_file


def link_images(groups: dict[str, Sequence[Path]], frames_dir: Path) -> dict[str, str]:
    """Makes images appear as `frames_dir/<video>/<file name>`, without copying where possible.

    Returns:
      {file: reason} of the images that could not be used.
    """
    faults = {}
    bar = tqdm(desc="images", total=sum(map(len, groups.values())), unit="image")
    for video, files in groups.items():
        folder = frames_dir / video
        for file in files:
            bar.update()
            target = folder / file.name
            if target.exists():
                continue
            if fault := find_fault(file):
                faults[str(file)] = f"{file}: {fault}"
                continue
            link_file(file, target)
    bar.close()
    return faults


def link_file(file: Path, target: Path) -> None:
    """Makes a file appear as `target` too, without copying it where that is possible.

    Raises:
      InputError: another file is there.
    """
    if target.exists():
        if target.samefile(file) or _is_copy(target, file):
            return
        raise InputError(
            f"{target}: another image than {file}; expected another --name for other images"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(file)
    except OSError:  # another disk, or a file system without links
        with whole_file(target) as side:
            shutil.copy2(file, side)  # with its time, by which a copy is known


def _is_copy(one: Path, other: Path) -> bool:
    one, other = one.stat(), other.stat()
    return (one.st_size, int(one.st_mtime)) == (other.st_size, int(other.st_mtime))
