"""Parts of many files, of which some stay open: opening a file again takes longer than reading."""

import os
from functools import lru_cache

import numpy as np

from data.storage.paths import AnyPath, is_remote

OPEN_FILES = 64


class PartReader:
    """Reads parts of files that do not change, from any number of threads.

    Args:
      open_files: how many stay open, those that were read last; each thread that reads may have one
        more. Remote files are never open: a part is one request.
    """

    def __init__(self, open_files: int = OPEN_FILES):
        self._opened = lru_cache(open_files)(_Opened)

    def read(self, file: AnyPath, begin: int, length: int) -> np.ndarray:
        """uint8 [n], the bytes from `begin` on: `length`, or fewer where the file ends before.

        Raises:
          OSError: the file cannot be read.
        """
        if is_remote(file):
            return np.frombuffer(file.read_part(begin, begin + length), np.uint8)
        content = np.empty(length, np.uint8)
        opened, read = self._opened(str(file)), 0
        while got := os.preadv(opened.descriptor, [content[read:]], begin + read):
            read += got
        return content[:read]


class _Opened:
    """A file that is closed when nobody has it any more, be it dropped while a thread reads it."""

    def __init__(self, path: str):
        self.descriptor = -1
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self):
        if self.descriptor >= 0:
            os.close(self.descriptor)
