"""A dataset of any kind, in one call: `prepare` is what the command `prepare.py` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.common import summary
from data.dataset.audit import Audit, read_videos
from data.kinds.kinds import OF_CLASSES
from data.kinds.request import Request, check
from data.storage.locking import locked
from data.storage.paths import AnyPath

StrPath = str | AnyPath


@dataclass(frozen=True)
class Prepared:
    """What came of a call of `prepare`; as a text, what the command prints.

    Attributes:
      root: the dataset directory.
      videos: {name of a video or sequence: {"frames": number, "labelled": number, ...}}; none of a
        dry run, and where a sheet was drawn and nothing else done.
      splits: what splits.json holds; empty where `videos` is.
      problems: a line for each input, or part of one, that could not be used.
      remarks: lines that one should know.
      new, changed, gone: names of the videos that this call has added, that it has extracted again
        since their files have changed, and that are not among the usable files any more.
      lines: what the command prints.
    """

    root: Path
    videos: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    splits: Mapping[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join(self.lines)


def prepare(
    data_rootdir: StrPath,
    *,
    name: str | None = None,
    dataset: str = "cholec80",
    videos: StrPath | None = None,
    archive: StrPath | None = None,
    url: str | None = None,
    verify_checksum: bool = False,
    keep_archive: bool = False,
    operations: StrPath | None = None,
    join_parts: bool = False,
    synthetic: bool = False,
    synthetic_videos: int | None = None,
    synthetic_seconds: int | None = None,
    seed: int | None = None,
    fps: float | None = None,
    format: str | None = None,
    quality: int | None = None,
    size: int | None = None,
    workers: int | None = None,
    beam_pipeline_options: str | None = None,
    annotations: StrPath | None = None,
    annotation_fps: float | None = None,
    phases: StrPath | None = None,
    phase_map: StrPath | None = None,
    patients: StrPath | None = None,
    drop_black: bool = False,
    drop_out_of_body: bool = False,
    drop_near_duplicates: bool = False,
    crop_borders: bool = False,
    pack: bool = False,
    pack_size: int | None = None,
    images: StrPath | None = None,
    sequences: StrPath | None = None,
    split: StrPath | None = None,
    class_folders: str | None = None,
    crop_margin: float | None = None,
    dry_run: bool = False,
    sheet: StrPath | None = None,
) -> Prepared:
    """Makes a dataset: fetches, renders or takes videos, extracts frames, audits and indexes them.

    Every stage skips what is done: the same call goes on after Ctrl-C, and adds what is new. The
    arguments are called as the flags of `prepare.py`, whose --help says more of each; one that is
    left out is not given, as on the command line. Paths are local; with Apache Beam `data_rootdir`
    and `videos` may be remote.

    Args:
      data_rootdir: the folder of all datasets; this one is written to its folder `name`.
      name: "cholec80" where it is not given; for other values of `dataset` that value.
      dataset: "cholec80", which is also everything else with videos; a public dataset, as
        "cholect50"; "polypsset", "neopolyp"; or "classes" for images in a folder for each class.
      videos: a folder with videos, DICOM videos or images, searched recursively.
      archive: the archive of a public dataset; of all but Cholec80 it may be unpacked.
      url: where to fetch Cholec80's archive from, if `archive` is not given.
      verify_checksum: whether to compare the MD5 of Cholec80's archive.
      keep_archive: whether a fetched archive stays after it is unpacked.
      operations: a CSV (file, operation, order) of which files are parts of one operation.
      join_parts: whether to join files whose names say that they are parts of one operation.
      synthetic: whether to render a miniature of Cholec80 or PolypsSet instead.
      synthetic_videos: how many videos to render, 16; of PolypsSet how many sequences, 44.
      synthetic_seconds: their mean length in seconds, 90.
      seed: of everything rendered, and of the split of "classes"; 0.
      fps: frames to extract per second of video; 1, or the rate of frames that are there.
      format: of the frames, "jpg" or "png"; "jpg".
      quality: of JPEG, 1 to 100; 95.
      size: the shorter side of frames in pixels, at most; as they are where it is not given.
      workers: how many videos to work on at once; one per core where it is not given.
      beam_pipeline_options: of Apache Beam, whose workers do the work then (docs/corpus.md).
      annotations: a file or folder with phases or tools; docs/data.md has the formats.
      annotation_fps: annotated frames per second, where the length of videos does not tell.
      phases: a text file with the names of all phases, one a line, in the order of their ids.
      phase_map: a CSV (from, to) of spellings of phases.
      patients: a CSV (video, patient; for images sequence or image) of whose the videos are.
      drop_black, drop_out_of_body, drop_near_duplicates: what to leave out for pre-training.
      crop_borders: whether to cut off black borders, in copies of the frames.
      pack: whether to write the frames to packed/, too, which `data.source="packed"` reads.
      pack_size: how many MB such a file has at most; 256.
      images: of "classes", the folder that has a folder for each class.
      sequences: of "classes" and "neopolyp", a CSV (image, sequence) of which images are of one
        patient.
      split: of "classes" and "neopolyp", a CSV (image, and split or fold).
      class_folders: of "classes", "first" or "last": which folder names the class.
      crop_margin: of "polypsset" and "neopolyp", crop the polyps, with this share of their size
        around them.
      dry_run: write nothing, and say what would be done and what room that needs.
      sheet: a picture, .jpg or .png, of frames of each video; alone, nothing else is done.

    Returns:
      What the dataset has now. Inputs that could not be used are its `problems`.

    Raises:
      InputError: what is asked for cannot be; everything that can be checked is, before anything
        is written. The message is the line that the command prints.
      OSError: a disk is full, or a file cannot be read or written.
      KeyboardInterrupt: Ctrl-C; what is done is kept.
    """
    request = Request.of(dict(locals()))
    root = request.root
    sources = (request.videos, request.archive, request.images, request.annotations)
    summary.note(inputs=[source for source in sources if source] or [root], outputs=[root])
    check(request)
    if request.dry_run:
        return _plan(request)
    if request.is_sheet_alone:
        return Prepared(root, lines=_draw(request))
    with locked(root, ".lock"):
        return _make(request)


def _plan(request: Request) -> Prepared:
    """What `prepare` would do."""
    from data.kinds.dry_run import plan_dataset

    audit = Audit()
    lines = plan_dataset(request, audit)
    return Prepared(request.root, problems=audit.problems, remarks=audit.remarks, lines=lines)


def _draw(request: Request) -> list[str]:
    """Draws the sheet, if one is asked for, and says so."""
    if not request.sheet:
        return []
    from data.overview.sheet import write_sheet  # matplotlib takes seconds

    return [write_sheet(request.root, Path(request.sheet))]


def _make(request: Request) -> Prepared:
    """Makes the dataset; nobody else does meanwhile."""
    from data.dataset.classes import check_kind
    from data.kinds.making import make_dataset
    from data.overview.card import write_dataset_card
    from data.overview.closing import closing_lines
    from data.tfrecords.packing import pack_frames, remark_packed

    kind, root = request.dataset, request.root
    is_of_classes = kind in OF_CLASSES
    check_kind(root, is_of_classes)
    before, audit = read_videos(root), Audit()
    manifest = make_dataset(request, audit)
    new = [name for name in audit.videos if name not in before]
    summary.note(audit.problems, done=audit.videos, new=new)
    summary.note(changed=audit.changed, gone=audit.gone)
    packed = [pack_frames(root, request.pack_size)] if request.pack else []
    if not request.pack:
        remark_packed(root, audit)
    if new or audit.changed:
        from data.overview.looks import remark_folders

        remark_folders(root, audit)
    write_dataset_card(root, audit, manifest)
    lines = closing_lines(root, audit, manifest, kind, request.synthetic)
    return Prepared(
        root,
        videos=audit.videos,
        splits=manifest,
        problems=audit.problems,
        remarks=audit.remarks,
        new=new,
        changed=audit.changed,
        gone=audit.gone,
        lines=packed + lines + _draw(request),
    )
