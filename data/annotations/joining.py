"""Joins the frames of a video to their annotations.

Frame NNNNNN is at second (NNNNNN - 1) / fps; where the names of a video count from 0, at second
NNNNNN / fps. Only files named `<video>_NNNNNN` are joined; other names may count something else
than frames of that rate, and wrong labels are worse than none.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.annotation_formats.frame_table import TOOLS_GROUP
from data.annotation_formats.labels import (
    HUMAN,
    MODEL,
    PHASE,
    UNKNOWN,
    Intervals,
    VideoLabels,
)
from data.annotation_writers.said import SAID
from data.annotations.corrections import CORRECTED, author_of, compare, rows_of
from data.annotations.naming import PHASE_LIST, PHASE_MAP, Names, read_phase_list, read_phase_map
from data.annotations.opening import Source, find_annotations
from data.annotations.rates import TOLERANCE, check_rate
from data.common.errors import InputError
from data.dataset.audit import CORRECTIONS, Audit
from data.dataset.classes import (
    Classes,
    annotation_rate,
    check_number,
    frame_rate,
    has_classes,
    new_ids,
    read_classes,
)
from data.dataset.extraction_log import read_log


@dataclass(frozen=True)
class Annotated:
    """What is annotated of a dataset, ready to be joined.

    Attributes:
      sources: {video: where its annotations are}.
      names: what spellings stand for.
      classes: what ids are positions in.
      fps: frames per second of the dataset.
      annotation_fps: annotated frames per second, if the user has said it.
      videos: {video: "source_fps" and "seconds" as far as the extraction noted them}.
      untimed: receives the videos whose images have no time, so that nothing can be joined.
      authors: receives {video: {group: who its labels are by}}, as `corrections.author_of` says.
    """

    sources: Mapping[str, list[Source]]
    names: Names
    classes: Classes
    fps: float
    annotation_fps: float | None
    videos: Mapping[str, Mapping]
    untimed: list[str] = field(default_factory=list)
    authors: dict[str, dict[str, str]] = field(default_factory=dict)
    _contents: dict[Path, str] = field(default_factory=dict)

    def about(self, video: str) -> str:
        """A digest of all that the labels of a video come from, but for the numbers of its frames.

        Of files their content counts: `prepare.py --annotations` copies them at every call.
        """
        noted, sources = self.videos.get(video, {}), self.sources.get(video, ())
        rates = [self.fps, self.annotation_fps, noted.get("seconds"), noted.get("source_fps")]
        what = [self.classes.multi_label, rates]
        if sources:
            lasting = {group: sorted(names) for group, names in self.names.lasting.items()}
            what += [self.classes.phases, dict(self.names.phase_map), lasting]
        for source in sources:
            content = self._contents.get(source.file)
            if content is None:
                content = hashlib.sha256(source.file.read_bytes()).hexdigest()
                self._contents[source.file] = content
            what.append([str(source.file), content, source.place, source.said])
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]

    def join(
        self,
        video: str,
        frames: np.ndarray,
        is_official: bool,
        counts: dict[str, int],
        audit: Audit,
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The labels of a video's frames.

        Args:
          video: its name.
          frames: int32 [n], their numbers, ascending.
          is_official: whether they are named so that the numbers tell the time.
          counts: receives how many rows the annotations have, by group.
          audit: receives what is found.

        Returns:
          phases int8 [n], and {group: int8 [n, names]}; -1 where unknown.
        """
        phases = np.full(len(frames), UNKNOWN, np.int8)
        groups = self.classes.multi_label
        presence = {g: np.full((len(frames), len(n)), UNKNOWN, np.int8) for g, n in groups.items()}
        sources = self.sources.get(video, ()) if len(frames) else ()
        if sources and not is_official:
            self.untimed.append(video)
            sources = ()
        read = []
        for source in sources:
            try:
                parts = source.read(audit)
            except InputError as error:
                audit.problem(str(error))
                continue
            for labels in parts:
                kind = "tool_rows" if labels.group == TOOLS_GROUP else f"{labels.group}_rows"
                counts[kind] = counts.get(kind, 0) + labels.rows
                fps = self._rate(video, labels, frames, audit)
                if fps is not None:
                    author = self._author(source, video, labels, fps, frames, counts, audit)
                    read.append((labels, fps, author))
        by_people = {labels.group for labels, _, author in read if author != MODEL}
        authors = self.authors.setdefault(video, {})
        for labels, fps, author in read:
            if author == MODEL and labels.group in by_people:
                audit.remark(f"{labels.file}: {video} is labelled by people, too; not used")
                continue
            if authors.get(labels.group) != HUMAN:
                authors[labels.group] = author
            values = labels.at((frames - 1) / self.fps, fps)
            if labels.group == PHASE:
                self._add_phases(labels, values, phases, audit)
            else:
                self._add_presence(labels, values, presence[labels.group])
        return phases, presence

    def _author(
        self, source: Source, video: str, labels: VideoLabels, fps: float, frames, counts, audit
    ) -> str:
        """Who labels are by; `counts` receives the seconds that were kept, moved and changed."""
        correction = None
        if labels.group in source.said and isinstance(labels, Intervals):
            now = rows_of(labels, fps)
            end = float(frames[-1]) / self.fps
            correction = compare(source.said[labels.group], now, labels.group, end)
        author = author_of(labels.labelled_by, correction)
        if author == CORRECTED and correction:
            for name in CORRECTIONS:
                seconds = getattr(correction, name.removesuffix("_s"))
                counts[name] = counts.get(name, 0) + round(seconds)
        elif author == MODEL and correction is None:
            audit.problem(
                f"{labels.file}: {labels.group} of {video}: a model has written it, and what it "
                f"wrote is not known, so that nobody's corrections count; expected {SAID} of the "
                'same folder beside it, or another name in place of its "model"'
            )
        return author

    def _rate(self, video: str, labels: VideoLabels, frames, audit: Audit) -> float | None:
        """Annotated frames per second; None where that is not certain."""
        noted = self.videos.get(video, {})
        length = noted.get("seconds") or frames[-1] / self.fps
        fps, doubt = check_rate(labels, length, self.annotation_fps, noted.get("source_fps"))
        if doubt:
            audit.problem(f"{labels.file}: {labels.group} of {video}: {doubt}")
            return None
        if isinstance(labels, Intervals):
            if labels.end / fps > length * (1 + TOLERANCE):
                audit.remark(
                    f"{labels.file}: {labels.group} of {video} goes on to {labels.end / fps:.4g} "
                    f"s, the video to {length:.4g} s"
                )
        else:
            last_label = int(labels.frames[-1] / fps * self.fps + 1e-6) + 1
            _remark_ends(labels.file, int(frames[-1]), last_label, audit)
        return fps

    def _add_phases(self, labels: VideoLabels, values, phases: np.ndarray, audit: Audit) -> None:
        names = [self.names.name_of(PHASE, name) for name in labels.names]
        found = new_ids(names, self.classes.phases)[values].astype(np.int8)
        contradicts = (found >= 0) & (phases >= 0) & (found != phases)
        if contradicts.any():
            audit.problem(
                f"{labels.file}: frames that have another phase in another file: "
                f"{contradicts.sum()}; their labels are unknown"
            )
        phases[:] = np.where(found >= 0, found, phases)
        phases[contradicts] = UNKNOWN

    def _add_presence(self, labels: VideoLabels, values, presence: np.ndarray) -> None:
        """Sets what is known; where two files say something, presence counts."""
        names = self.classes.multi_label[labels.group]
        if isinstance(labels, Intervals):
            absent = [names.index(n) for n in self.names.lasting[labels.group] if n in names]
            presence[:, absent] = np.maximum(presence[:, absent], 0)
        for column, place in enumerate(new_ids(labels.names, names)[:-1]):
            if place >= 0:
                presence[:, place] = np.maximum(presence[:, place], values[:, column])


def open_annotated(
    root: Path, videos: Iterable[str], audit: Audit, annotation_fps: float | None = None
) -> Annotated:
    """Finds the annotations of a dataset's videos, and reads the names in them.

    Args:
      root: dataset directory; phases.txt and phase_map.csv in it say what names mean.
      videos: names of those that have frames.
      audit: receives what is wrong with the names.
      annotation_fps: annotated frames per second; None for what was said before, if anything.

    Raises:
      InputError: the list of phases does not go with the ids that were written before.
    """
    sources = find_annotations(root, videos, audit)
    mapped = root / PHASE_MAP
    names = Names(read_phase_map(mapped) if mapped.is_file() else {})

    def read(source):
        try:
            return source.read(Audit())
        except InputError:
            return []  # said when it is read to be joined

    with ThreadPoolExecutor() as pool:
        in_order = [source for video in videos for source in sources.get(video, ())]
        for parts in pool.map(read, in_order):
            for labels in parts:
                names.add(labels)
    known = read_classes(root) if has_classes(root) else Classes()
    listed = root / PHASE_LIST
    if listed.is_file():
        known = names.use_list(read_phase_list(listed), known, listed, audit)
    classes = names.classes(known, audit, is_closed=listed.is_file())
    check_number(root, classes)
    return Annotated(
        sources,
        names,
        classes,
        frame_rate(root),
        annotation_fps or annotation_rate(root),
        read_log(root / "frames")["videos"],
    )


def _remark_ends(path: Path, last_frame: int, last_label: int, audit: Audit) -> None:
    """Says where frames and labels of a video do not end together."""
    more = abs(last_frame - last_label)
    if not more:
        return
    longer, end = ("frames", last_label) if last_frame > last_label else ("labels", last_frame)
    tolerated = " (off by one: tolerated)" if more == 1 else ""
    audit.remark(f"{path}: the {longer} go on for {more} after frame {end}{tolerated}")
