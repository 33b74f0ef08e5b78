"""Intervals of a model as files of ELAN, which `annotation_formats.elan` reads.

Written with pympi-ling, as they are read. The tier's annotator, the attribute ANNOTATOR of ELAN's
schema (http://www.mpi.nl/tools/elan/EAFv3.0.xsd), is "model"; who has looked at a video puts a name
there (Tier > Change Tier Attributes). Annotations of ELAN have no number for a confidence: a second
tier that refers to the first has it as text, in per cent, and which are to be looked at first.
"""

import mimetypes
from collections.abc import Sequence
from pathlib import Path

from pympi import Eaf

from data.annotation_formats.elan import CONFIDENCE_TYPE
from data.annotation_formats.labels import MODEL, OF_LABEL, PHASE
from data.annotation_writers.intervals import VideoIntervals, floored, look_first


def write_elan(folder: Path, videos: Sequence[VideoIntervals]) -> list[Path]:
    """Writes `<video>.eaf` for each video; returns the files."""
    ranks, files = look_first(videos), []
    for number, of in enumerate(videos):
        eaf = Eaf(author=MODEL)
        eaf.remove_tier("default")
        eaf.add_linguistic_type(CONFIDENCE_TYPE, "Symbolic_Association", timealignable=False)
        for track in dict.fromkeys(_tracks(of).values()):
            eaf.add_tier(track, ann=MODEL)
            eaf.add_tier(f"{track} confidence", ling=CONFIDENCE_TYPE, parent=track, ann=MODEL)
        if of.media:
            kind = mimetypes.guess_type(of.media)[0] or "video/mp4"
            url = Path(of.media).absolute().as_uri()
            eaf.add_linked_file(url, relpath=f"./{Path(of.media).name}", mimetype=kind)
        for place, each in enumerate(of.intervals):
            start, end = (round(1000 * floored(time)) for time in (each.start, each.end))
            track = _tracks(of)[each.label]
            eaf.add_annotation(track, start, end, each.label)
            rank = f"{each.confidence:.0%}, to look at: {ranks[number, place]}"
            middle = (start + end) // 2  # at a boundary it would be of the annotation before
            eaf.add_ref_annotation(f"{track} confidence", track, middle, rank)
        files.append(folder / f"{of.video}.eaf")
        eaf.to_file(str(files[-1]))
    return files


def _tracks(of: VideoIntervals) -> dict[str, str]:
    """{label: its tier}. In a tier of ELAN nothing overlaps: labels that may have one each."""
    if of.group == PHASE:
        return dict.fromkeys(of.classes, of.track)
    return {label: f"{of.track}{OF_LABEL}{label}" for label in of.classes}
