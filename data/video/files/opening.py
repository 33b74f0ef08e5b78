"""Opens videos with FFmpeg, by PyAV: the one decoder of everything here that reads videos.

What FFmpeg says while it reads and decodes stays off the terminal (PyAV's default): what is wrong
is said by us, once, with the file's name.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import av
from av.error import FFmpegError
from av.format import Flags
from av.stream import Disposition

from data.common.errors import InputError, one_line

PATIENCE = 100  # failures to read one after the other, after which a file is at its end
AVI_HEAD = 8  # bytes before the content of a chunk


class VideoFile:
    """An open video, a context. Not for several threads at a time.

    Args:
      video: the file; its name may look like a URL.
      threads: that decode it; 0 for one a core.

    Attributes:
      video: the file.
      container, stream: PyAV's; `stream` is the one of the pictures.
      may_jump: whether the clock of this format may jump without anything being shown longer.
      says_durations: whether the file says for how long each frame is shown, not only when.

    Raises:
      InputError: no video.
    """

    def __init__(self, video: Path, threads: int = 1):
        if not video.is_file():
            raise InputError(f"{video}: no such video")
        self.video = video
        try:
            self.container = av.open(f"file:{video.absolute()}")
        except FFmpegError as error:
            if isinstance(error, PermissionError):
                raise InputError(f"{video}: {one_line(error)}") from None
            size = video.stat().st_size
            raise InputError(
                f"{video}: {size} bytes that are not a video, or one without its index"
            ) from None
        self.stream = self.container.streams.best("video")
        is_cover = self.stream and Disposition.attached_pic in self.stream.disposition
        if self.stream is None or is_cover:  # the picture of a sound recording
            self.close()
            raise InputError(f"{video}: holds no frames")
        self.may_jump = Flags.ts_discont in Flags(self.container.format.flags)
        self.says_durations = "mp4" in self.container.format.name
        self.stream.thread_count = threads
        self.stream.thread_type = "AUTO"

    def packets(self) -> Iterator[av.Packet]:
        """The packets of the pictures from here on, in the order of the file, undecoded."""
        index = self._index
        for packet in self._demux(self.stream):
            if packet and packet.size:  # the others mark the end
                _correct(packet, index)
                yield packet

    def all_packets(self) -> Iterator[av.Packet | None]:
        """The packets of all tracks from here on; None for one of a track that PyAV does not know.

        Where a track begins after FFmpeg has looked for tracks, as in FLV, PyAV raises at each of
        its packets.
        """
        return self._demux()

    def _demux(self, *streams) -> Iterator[av.Packet | None]:
        failures = 0
        while failures < PATIENCE:
            try:
                for packet in self.container.demux(*streams):
                    failures = 0
                    yield packet
                return
            except FFmpegError:  # a damaged place; the next call reads on behind it
                failures += 1
            except IndexError:
                failures = 0
                yield None

    @cached_property
    def _index(self) -> dict[int, int]:
        """{place in an AVI file: time stamp}: FFmpeg counts frames, and not those it missed."""
        entries = self.stream.index_entries if self.container.format.name == "avi" else ()
        return {entry.pos + AVI_HEAD: entry.timestamp for entry in entries}

    def close(self) -> None:
        self.container.close()

    def __enter__(self) -> "VideoFile":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _correct(packet: av.Packet, index: dict[int, int]) -> None:
    """Gives a packet the time stamps that the file's index has for its place."""
    shift = index.get(packet.pos, packet.dts or 0) - (packet.dts or 0)
    if shift and packet.dts is not None:
        packet.dts += shift
        packet.pts = None if packet.pts is None else packet.pts + shift
