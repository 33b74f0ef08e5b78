"""Tiny real videos in which every frame shows its own number, and MP4 files with other timings."""

import struct
from pathlib import Path

import cv2
import numpy as np

BITS = 12


def _block(bit):
    return np.s_[
        4 + 22 * (bit // 6) : 22 + 22 * (bit // 6), 2 + 16 * (bit % 6) : 14 + 16 * (bit % 6)
    ]


def draw_number(number):
    image = np.full((48, 96, 3), 60, np.uint8)
    for bit in range(BITS):
        if number >> bit & 1:
            image[_block(bit)] = 220
    return image


def read_number(image):
    """The number that a decoded frame shows, of any size."""
    image = cv2.resize(image, (96, 48), interpolation=cv2.INTER_AREA)
    return sum(1 << bit for bit in range(BITS) if image[_block(bit)].mean() > 140)


def read_numbers(folder):
    """{file name: number shown} of the images in a folder."""
    return {file.name: read_number(cv2.imread(str(file))) for file in sorted(folder.iterdir())}


def write_video(path, fps=25, frames=100, codec="mp4v", first=0):
    """A video whose frames show the numbers from `first` on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, (96, 48))
    assert writer.isOpened()
    for number in range(first, first + frames):
        writer.write(draw_number(number))
    writer.release()
    return path


def set_timing(path: Path, runs):
    """Gives an MP4 file of constant rate the frame durations `runs`, pairs (frames, factor)."""
    content = bytearray(path.read_bytes())
    at = content.index(b"stts") - 4
    size, _, _, entries, _, duration = struct.unpack(">I4sIIII", content[at : at + 24])
    assert (size, entries) == (24, 1)
    added = 8 * (len(runs) - 1)
    box = struct.pack(">I4sII", size + added, b"stts", 0, len(runs))
    box += b"".join(struct.pack(">II", count, round(duration * factor)) for count, factor in runs)
    content[at : at + size] = box
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        at = content.index(parent) - 4
        content[at : at + 4] = struct.pack(
            ">I", struct.unpack(">I", content[at : at + 4])[0] + added
        )
    path.write_bytes(content)


def hide_beginning(path: Path, frames):
    """Makes an MP4 file's edit list hide its first frames, as cutting without encoding does."""
    content = bytearray(path.read_bytes())
    at = content.index(b"stts") + 16
    duration = struct.unpack(">I", content[at : at + 4])[0]
    at = content.index(b"elst") + 16
    content[at : at + 4] = struct.pack(">i", frames * duration)
    path.write_bytes(content)
