"""Which frame of its video each image file is, by the numbers in the files' names."""

from pathlib import Path

import numpy as np

from data.dataset.audit import Audit
from data.images.names import are_numbered, official_number, trailing_number

MAX_NUMBER = np.iinfo(np.int32).max


def number_files(video: str, files: list[Path], audit: Audit) -> tuple[dict[Path, int], bool]:
    """{file: frame number, from 1}, and whether the files have the official names."""
    official = {file: official_number(file.stem, video) for file in files}
    if any(number is not None for number in official.values()):
        remark_strays([file for file, number in official.items() if number is None], audit)
        named = {file: number for file, number in official.items() if number is not None}
        return _from_one(video, named, audit), True
    if not files:
        return {}, False
    if are_numbered(file.stem for file in files):
        numbers = {file: int(trailing_number(file.stem)) for file in files}
        if max(numbers.values()) < MAX_NUMBER:
            return _from_one(video, numbers, audit), False
    if len(files) > 1:
        audit.remark(f"{files[0]}: names do not number the frames of {video}; counted in order")
    return {file: place for place, file in enumerate(files, 1)}, False


def _from_one(video: str, numbers: dict[Path, int], audit: Audit) -> dict[Path, int]:
    """Numbers that begin with 1 where those of a video's names begin with 0."""
    if 0 not in numbers.values():
        return numbers
    if len(numbers) > 1:
        audit.remark(
            f"{video}: its frames are numbered from 0; {min(numbers, key=numbers.get)} is the first"
        )
    return {file: number + 1 for file, number in numbers.items()}


def drop_repeated(numbers: dict[Path, int], audit: Audit) -> dict[Path, int]:
    """Keeps the first file of each frame number."""
    first = {}
    for file, number in numbers.items():
        if number in first:
            audit.remark(f"{file}: frame {number} again, {first[number].name} is used")
        else:
            first[number] = file
    return {file: number for number, file in first.items()}


def remark_gaps(folder: Path, frames: np.ndarray, audit: Audit) -> None:
    """Names the frames that are missing before the last one."""
    missing = frames[-1] - (frames >= 1).sum() if len(frames) else 0
    if not missing:
        return
    ends = np.flatnonzero(np.diff(frames, prepend=0) > 1)
    before = np.concatenate([[0], frames])[ends]
    ranges = [
        f"{first}" if first == last else f"{first}-{last}"
        for first, last in zip(before[:5] + 1, frames[ends[:5]] - 1, strict=True)
    ]
    more = f", ... ({len(ends)} gaps)" if len(ends) > 5 else ""
    audit.remark(
        f"{folder}: {missing} of {frames[-1]} frames are missing: {', '.join(ranges)}{more}"
    )


def remark_strays(files: list[Path], audit: Audit) -> None:
    """Names files that are not used."""
    for file in files:
        audit.remark(f"{file}: stray, not used")
