"""Builds a dataset's index: finds the frames, checks them, joins them to their annotations.

A frame finds its labels by the number in its name: frame NNNNNN is at second (NNNNNN - 1) / fps of
its video (`data/annotations/joining.py`). Ids of phases are known before the first row is written:
the annotations are read twice, once for their names.
"""

import contextlib
import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.annotations.corrections import write_labelled_by
from data.annotations.joining import Annotated, open_annotated
from data.annotations.opening import FOLDER, OFFICIAL_SUFFIX
from data.common.errors import InputError, some
from data.dataset.audit import AUDIT, Audit
from data.dataset.classes import write_classes
from data.dataset.extraction_log import LOG
from data.dataset.index_columns import INDEX, PRETRAINING_INDEX, index_schema
from data.extraction.calls import Spread
from data.images.finding import group_images
from data.images.folders import list_folder
from data.images.image_io import image_size
from data.images.names import is_image, natural_key, say_alike
from data.indexing.cleaning import CROPPED, Cleaning, clean_video, measure_files
from data.indexing.index_table import index_table
from data.indexing.kept import Kept, Rows
from data.indexing.numbering import drop_repeated, number_files, remark_gaps, remark_strays
from data.indexing.reading import VIDEOS_AT_ONCE, read_elsewhere, read_here
from data.splits.remarks import audit_patients
from data.storage.paths import AnyPath, is_remote
from data.storage.whole import whole_file

MAX_PIXELS = 1_000_000  # 2.5 times those of Cholec80's frames, 854x480
NO_CLEANING = Cleaning()


def build_index(
    root: AnyPath,
    audit: Audit | None = None,
    cleaning: Cleaning = NO_CLEANING,
    annotation_fps: float | None = None,
    spread: Spread | None = None,
    kept: Kept | None = None,
) -> Audit:
    """Writes index.parquet (see `data/dataset/index_columns.py`), classes.json and audit.json.

    Args:
      root: dataset directory with `frames/<video>/` and, where there are any, annotations
        (`data/annotations/opening.py`).
      audit: what was found before, by the extraction of frames; it is added to.
      cleaning: what to do for pre-training. Where it drops frames, `root/pretraining.parquet` is
        an index without them; an older one is removed where it does not.
      annotation_fps: annotated frames per second; None where nobody says so.
      spread: has workers elsewhere read the videos, as `data.preparation.on_beam.Beam` does.
      kept: what was read before, for the same cleaning; None to ask for it now.

    Returns:
      What was found: gaps and stray files are remarks; what could not be used is a problem.

    Raises:
      InputError: `root` holds no usable frame, or cleaning leaves none; nothing was written.
    """
    audit = Audit() if audit is None else audit
    folders = list_videos(root, audit)
    for remark in say_alike(folders, "videos"):
        audit.remark(remark)
    annotated = open_annotated(root, folders, audit, annotation_fps)
    names = (INDEX, PRETRAINING_INDEX) if cleaning.drops else (INDEX,)
    if not spread and not is_remote(root):
        kept = kept or Kept(root, cleaning)
    abouts = {video: annotated.about(video) for video in folders} if kept else {}
    same = kept.usable(abouts) if kept else set()
    with contextlib.ExitStack() as files:
        if kept and same == folders.keys() and kept.is_index(list(folders)):
            for video in folders:
                findings, annotated.authors[video] = kept.findings(video)
                audit.add(findings)
        else:
            sides = [files.enter_context(whole_file(root / name, durable=True)) for name in names]
            read = functools.partial(_read_video, folders=folders, cleaning=cleaning)
            found = _rows_of_all(root, folders, read, annotated, spread, kept, same, abouts)
            _write_indices(sides, found, annotated, audit)
        if not audit.total("frames") or (cleaning.drops and not audit.total("pretraining")):
            none = "frame is left after cleaning" if audit.total("frames") else "usable image in it"
            raise InputError(f"{root / 'frames'}: no {none}; {some(audit.problems, '; ')}")
        _remark_annotations(root, annotated, audit)
        _remark_large(root, audit)
        audit_patients(root, audit)
        rates = {"fps": annotated.fps, "annotation_fps": annotated.annotation_fps}
        write_classes(root, annotated.classes, **rates)
        write_labelled_by(root, annotated.authors)
    if not cleaning.drops:
        (root / PRETRAINING_INDEX).unlink(missing_ok=True)
    if kept:
        kept.write(folders)
    audit.write(root / AUDIT)
    return audit


def _rows_of_all(
    root: Path,
    folders: dict[str, list[Path] | None],
    read: Callable,
    annotated: Annotated,
    spread: Spread | None,
    kept: Kept | None,
    same: set[str],
    abouts: dict[str, str],
) -> Iterator[Rows]:
    """The rows of each video: as they are in the index, of those of `same`, else read now."""
    todo = [video for video in folders if video not in same]
    if spread:
        yield from read_elsewhere(root, todo, read, annotated, spread)
        return
    if not kept:
        yield from read_here(root, todo, read, annotated)
        return
    found = read_here(root, todo, functools.partial(_look_and_read, kept, read), annotated)
    for video in folders:
        if video in same:
            findings, annotated.authors[video] = kept.findings(video)
            yield *kept.tables(video), findings
            continue
        rows = next(found)
        is_of_a_folder = folders[video] is None and video not in annotated.untimed
        about = abouts[video] if is_of_a_folder else ""
        kept.note(video, about, rows, annotated.authors.get(video, {}))
        yield rows
    yield from found


def _look_and_read(kept: Kept, read: Callable, root: Path, video: str, **how: Any) -> Rows:
    kept.look(video)
    return read(root, video, **how)


def _write_indices(
    paths: list[Path], found: Iterator[Rows], annotated: Annotated, audit: Audit
) -> None:
    """Writes the rows of all videos to the first path, those for pre-training to a second."""
    schema = index_schema(annotated.classes.multi_label)
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(pq.ParquetWriter(path, schema, compression="zstd"))
            for path in paths
        ]
        while some := list(itertools.islice(found, VIDEOS_AT_ONCE)):
            for *_, findings in some:
                audit.add(findings)
            groups = [tables for *tables, _ in some]
            for writer, tables in zip(writers, zip(*groups, strict=True), strict=False):
                writer.write_table(pa.concat_tables(tables).combine_chunks())


def list_videos(root: Path, audit: Audit) -> dict[str, list[Path] | None]:
    """{video: its images if they lie in frames/ itself, None for the folder frames/<video>}."""
    frames_dir = root / "frames"
    if not frames_dir.is_dir():
        raise InputError(f"{frames_dir}: no such folder; expected one with frames")
    folders, files = list_folder(frames_dir, audit.problems)
    videos = dict.fromkeys(folder.name for folder in folders)
    remark_strays([f for f in files if not is_image(f.name) and f.name != LOG], audit)
    images = [file for file in files if is_image(file.name)]
    for video, of_video in group_images(frames_dir, images).items():
        if video in videos or is_remote(root):
            audit.problem(f"{of_video[0]}: not used; expected it in {frames_dir / video}")
        else:
            videos[video] = of_video
    return {video: videos[video] for video in sorted(videos, key=natural_key)}


def _read_video(
    root: Path,
    video: str,
    folders: dict[str, list[Path] | None],
    cleaning: Cleaning,
    annotated: Annotated,
    find_faults: Callable,
) -> tuple[pa.Table, pa.Table, Audit]:
    """The rows of one video, those of them that are for pre-training, and what was found."""
    audit, files = Audit(), folders[video]
    if files is None:
        folder = root / "frames" / video
        _, found = list_folder(folder, audit.problems)
        files = [file for file in found if is_image(file.name)]
        remark_strays([file for file in found if not is_image(file.name)], audit)
    numbers, is_official = number_files(video, files, audit)
    for file, fault in zip(list(numbers), find_faults(list(numbers)), strict=True):
        if fault:
            audit.problem(f"{file}: {fault}")
            del numbers[file]
    numbers = drop_repeated(numbers, audit)
    files = sorted(numbers, key=numbers.get)
    measured = measure_files(files, audit) if cleaning else {}
    files = list(measured) if cleaning else files
    frames = np.array([numbers[file] for file in files], np.int32)
    counts = {"frames": len(files)}
    phases, presence = annotated.join(video, frames, is_official, counts, audit)
    known = [phases >= 0, *((labels >= 0).any(axis=1) for labels in presence.values())]
    counts["labelled"] = int(np.any(known, axis=0).sum())
    audit.videos[video] = counts
    if is_official:
        remark_gaps(root / "frames" / video, frames, audit)
    is_kept = np.ones(len(files), bool)
    if cleaning:
        files, is_kept = clean_video(root / CROPPED / video, measured, cleaning, counts)
    audit.sizes = _count_sizes(files, is_official)
    paths = [file.relative_to(root) for file in files]
    groups = annotated.classes.multi_label
    table = index_table([video] * len(files), frames, phases, presence, groups, paths)
    return table, table.filter(is_kept) if cleaning.drops else table, audit


def _remark_annotations(root: Path, annotated: Annotated, audit: Audit) -> None:
    """Names annotations that no frames belong to, and videos without annotations, or time."""
    if annotated.untimed:
        audit.problem(
            f"{root / 'frames'}: annotations of {some(sorted(annotated.untimed, key=natural_key))}:"
            " phases need the time of each image, as names like <video>_000001 tell it, 1, or 0 "
            "where there is one, for the first second; classes need none: --dataset=classes"
        )
    for folder in sorted(root.glob(f"*{OFFICIAL_SUFFIX}")):
        kind = folder.name.removesuffix(OFFICIAL_SUFFIX)
        files = sorted(folder.glob("[!.]*"), key=lambda file: natural_key(file.name))
        of = {file: file.name.removesuffix(f"-{kind}.txt") for file in files}
        for file, video in of.items():
            if file.name.endswith("-timestamp.txt"):  # the official release has them: seconds
                continue
            if video == file.name:
                audit.remark(f"{file}: stray, {kind} annotations are named <video>-{kind}.txt")
            elif video not in audit.videos:
                audit.remark(f"{file}: there are no frames of {video}")
        annotated_videos = set(of.values()) if files else set(audit.videos)
        for video in (video for video in audit.videos if video not in annotated_videos):
            audit.remark(f"{folder / video}-{kind}.txt: missing; {video} has no {kind}s")
    without = [video for video in audit.videos if video not in annotated.sources]
    if (root / FOLDER).is_dir() and without:
        audit.remark(f"{root / FOLDER}: nothing about {some(without, limit=8)}")


def _count_sizes(files: list[Path], is_video: bool) -> Counter:
    """{(width, height): images}; frames of a video are taken to be as large as the first."""
    sizes = Counter()
    for file in files[:1] if is_video else files:
        with contextlib.suppress(InputError):  # damage in the middle shows when it is read
            sizes[image_size(file)[::-1]] += len(files) if is_video else 1
    return sizes


def _remark_large(root: Path, audit: Audit) -> None:
    large = {size: n for size, n in audit.sizes.items() if size[0] * size[1] > MAX_PIXELS}
    if large:
        width, height = max(large, key=lambda size: size[0] * size[1])
        audit.remark(
            f"{root / 'frames'}: {sum(large.values())} frames have more than "
            f"a megapixel, up to {width}x{height}; decoding takes as long as "
            "there are pixels, and training, on views of 224x224, would wait for it; expected "
            "--size=480, with another --name"
        )
