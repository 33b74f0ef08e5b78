"""ELAN's annotation files (.eaf): intervals in tiers, in milliseconds of the linked video.

Read with pympi-ling (Lubbers and Torreira; https://github.com/dopefishh/pympi, pympi/Elan.py). The
elements are those of ELAN's schema, http://www.mpi.nl/tools/elan/EAFv3.0.xsd: a HEADER with a
MEDIA_DESCRIPTOR for each linked file, a TIME_ORDER, and TIERs of annotations.
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from pympi import Eaf

from data.annotation_formats.labels import (
    HUMAN,
    MODEL,
    VideoLabels,
    marked_group,
    track_groups,
    track_intervals,
)
from data.common.errors import InputError
from data.dataset.audit import Audit

ROOT_TAG = "ANNOTATION_DOCUMENT"
CONFIDENCE_TYPE = "confidence"  # linguistic type of tiers with what a model thinks of its intervals


def open_elan(file: Path) -> Eaf:
    """Opens a file.

    Raises:
      InputError: it is no ELAN file, or damaged.
    """
    try:
        tag = ElementTree.parse(file).getroot().tag
        if tag == ROOT_TAG:
            return Eaf(str(file), suppress_version_warning=True)
    except (ElementTree.ParseError, KeyError, ValueError, IndexError) as error:
        raise InputError(f"{file}: damaged ({error!r}); expected an annotation file of ELAN") from (
            error
        )
    raise InputError(f"{file}: XML of {tag}; expected {ROOT_TAG}, as ELAN writes it")


def linked_videos(eaf: Eaf) -> list[str]:
    """Paths of the linked files, with slashes, the first one first."""
    urls = [media.get("MEDIA_URL") or media.get("RELATIVE_MEDIA_URL") for media in _media(eaf)]
    return [str(PurePosixPath(unquote(url).replace("\\", "/"))) for url in urls if url]


def read_elan(file: Path, eaf: Eaf, audit: Audit) -> list[VideoLabels]:
    """The labels of the video of a file, in seconds.

    A tier whose ANNOTATOR is "model" is by a model. Tiers that annotate other tiers' annotations,
    such as comments, are not used.

    Args:
      file: for messages.
      eaf: as `open_elan` gives it.
      audit: receives what cannot be used.

    Raises:
      InputError: times are no milliseconds of the video, or no tier has annotations.
    """
    units = eaf.header.get("TIME_UNITS") or "milliseconds"
    offsets = {media.get("TIME_ORIGIN") or "0" for media in _media(eaf)} - {"0"}
    if units != "milliseconds" or offsets:
        found = f"TIME_ORIGIN={offsets.pop()}" if offsets else f"TIME_UNITS={units}"
        raise InputError(f"{file}: {found}; expected milliseconds from the beginning of the video")
    tiers, annotators = {}, {}
    for name, (aligned, references, attributes, _) in eaf.tiers.items():
        if attributes.get("LINGUISTIC_TYPE_REF") == CONFIDENCE_TYPE:
            continue
        annotators[name] = MODEL if attributes.get("ANNOTATOR") == MODEL else HUMAN
        if references:
            audit.remark(f"{file}: tier {name!r} refers to another tier; not used")
        elif aligned or marked_group(name):
            tiers[name] = aligned.values()
    if not tiers:
        raise InputError(f"{file}: no annotations in it; expected a tier with intervals")
    of_group: dict[str, tuple[list, set]] = {}  # several tiers may be of one: of a label each
    for name, group in track_groups(file, tiers).items():
        rows, by = of_group.setdefault(group, ([], set()))
        rows += _timed(file, name, tiers[name], eaf.timeslots, audit)
        by.add(annotators[name])
    found = []
    for group, (rows, by) in of_group.items():
        author = MODEL if by == {MODEL} else HUMAN
        found.append(track_intervals(file, group, rows, audit, labelled_by=author))
    return [labels for labels in found if labels is not None]


def _timed(file: Path, name: str, annotations, slots, audit: Audit) -> list:
    """(start, end, label) in seconds of the annotations of a tier."""
    rows = [(slots.get(start), slots.get(end), label) for start, end, label, _ in annotations]
    timed = [row for row in rows if None not in row[:2]]
    if len(timed) < len(rows):
        audit.problem(
            f"{file}: tier {name!r}: {len(rows) - len(timed)} annotations have no times of their "
            "own; not used"
        )
    return [(start / 1000, end / 1000, label) for start, end, label in timed]


def _media(eaf: Eaf) -> list:
    return eaf.media_descriptors
