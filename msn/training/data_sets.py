"""The frames of a run: those of its data sets, but for what is left out."""

from ml_collections import ConfigDict

from data.common.errors import some
from data.common.logs import logger
from data.frames.frames import Frames
from data.frames.opening import open_source
from data.splits.manifest import MANIFEST
from data.splits.overlaps import identity
from data.splits.parts import expand


def open_frames(config: ConfigDict) -> Frames:
    """The frames of a run; exclusions that name no video are said."""
    data = config.data
    source = open_source(data.source, data.root, data.exclude_videos, data.fps)
    excluded = {identity(video) for video in source.excluded}
    if missing := [
        name
        for name in data.exclude_videos
        if name != MANIFEST and excluded.isdisjoint(map(identity, expand((name,), source.excluded)))
    ]:
        advice = (
            "; nothing is left out, of what scores are measured on, either: expected names of "
            f"videos, or {MANIFEST} for what the data's own split validates and tests"
        )
        logger.warning(
            "data.exclude_videos: not in the data: %s%s",
            *(some(missing), "" if source.excluded else advice),
        )
    return source
