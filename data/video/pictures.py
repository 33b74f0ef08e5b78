"""Decoded frames, and the images that they become: deinterlaced where that is due, turned, BGR.

Interlaced frames are deinterlaced from their neighbours; others are not touched.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import av
import cv2
import numpy as np
from av import VideoFrame
from av.video.reformatter import VideoReformatter

# What stands in a display matrix, in degrees, as OpenCV turns images.
TURNS = {-90: cv2.ROTATE_90_CLOCKWISE, 90: cv2.ROTATE_90_COUNTERCLOCKWISE}
TURNS |= {180: cv2.ROTATE_180, -180: cv2.ROTATE_180}


class Picture(NamedTuple):
    """A decoded frame and its neighbours in time.

    Attributes:
      number: of the frame, from 0.
      frame: None where it is damaged.
      before, after: None where there is none, or a damaged one.
    """

    number: int
    frame: VideoFrame | None
    before: VideoFrame | None
    after: VideoFrame | None


def with_neighbours(frames: Iterable[tuple[int, VideoFrame | None]]) -> Iterator[Picture]:
    """Pictures of pairs (number, frame)."""
    before = latest = None
    for coming in frames:
        if latest:
            yield Picture(*latest, before, coming[1])
            before = latest[1]
        latest = coming
    if latest:
        yield Picture(*latest, before, None)


class Finisher:
    """Makes images of pictures: deinterlaced where that is due, turned, BGR.

    Deinterlacing is FFmpeg's bwdif, one image a frame, by the field order of the frame; it looks at
    the frame before and the one after.
    """

    def __init__(self):
        self._graphs, self._reformatter = {}, VideoReformatter()

    def __call__(self, picture: Picture) -> np.ndarray:
        frame = picture.frame
        turn = TURNS.get(frame.rotation)
        if frame.interlaced_frame:
            frame = self._deinterlaced(picture)
        # OpenCV's kind of interpolation, of colours.
        frame = self._reformatter.reformat(frame, format="bgr24", interpolation="BICUBIC")
        image = frame.to_ndarray()
        return image if turn is None else cv2.rotate(image, turn)

    def _deinterlaced(self, picture: Picture) -> VideoFrame:
        kind = _kind(picture.frame)
        before, after = (
            frame if frame and _kind(frame) == kind else None
            for frame in (picture.before, picture.after)
        )
        frames = [picture.frame, after or picture.frame]
        if before is None:  # the filter at the beginning of a video
            return _filtered(_deinterlacer(picture.frame), frames)[0]
        frames = [before, *frames]
        if kind not in self._graphs:
            self._graphs[kind] = _deinterlacer(picture.frame)
            _filtered(self._graphs[kind], frames)
        return _filtered(self._graphs[kind], frames)[-1]


def _kind(frame: VideoFrame) -> tuple:
    return frame.width, frame.height, frame.format.name


def _deinterlacer(frame: VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    bwdif = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
    sink = graph.add("buffersink")
    source.link_to(bwdif)
    bwdif.link_to(sink)
    graph.configure()
    return graph


def _filtered(graph: av.filter.Graph, frames: Iterable[VideoFrame]) -> list[VideoFrame]:
    """What a filter makes of frames: it is one frame behind them."""
    made = []
    for frame in frames:
        graph.push(frame)
        try:
            while True:
                made.append(graph.pull())
        except (av.error.BlockingIOError, av.error.EOFError):
            pass
    return made
