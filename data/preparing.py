"""A dataset of any kind, in one call: `prepare` is what the command `prepare.py` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.common import summary
from data.dataset.audit import Audit, read_videos
from data.overview.kinds import OF_CLASSES, PUBLIC
from data.overview.request import Request, check
from data.storage.locking import locked
from data.storage.paths import AnyPath

if TYPE_CHECKING:
    from data.preparation.media import Media

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
      split: of "classes", a CSV (image, and split or fold).
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
    """What `prepare` would do, as far as it is known."""
    from data.dataset.classes import check_kind
    from data.image_classes.polypsset import check_polyps
    from data.overview import plan_archives
    from data.overview.plan import Plan, plan_packing, say_plan
    from data.overview.plan_videos import plan_videos
    from data.preparation.pipeline import check_annotations

    kind, root, path = request.dataset, request.root, request.path
    check_kind(root, is_of_classes=kind in OF_CLASSES)
    audit, archive, settings = Audit(), path("archive"), request.settings
    if kind in PUBLIC:
        made = plan_archives.plan_public(kind, root, request.needed("archive"), settings, audit)
    elif kind == "classes":
        tables = {"sequence": path("sequences"), "split": path("split")}
        level = request.class_folders
        made = plan_archives.plan_classes(root, request.needed("images"), tables, level, audit)
    elif kind == "neopolyp":
        asked = request.needed("archive"), request.crop_margin, path("sequences")
        made = plan_archives.plan_neopolyp(root, *asked, audit)
    elif request.synthetic:
        made = Plan(["a miniature, to be rendered"], is_certain=False)
    elif kind == "polypsset":
        check_polyps(root, archive, request.crop_margin)
        made = plan_archives.plan_archive(archive or root, root)
    else:
        media, is_to_unpack = _find_sources(request, settings, audit)
        check_annotations(path("annotations"), path("phases"), path("phase_map"))
        if is_to_unpack:
            made = plan_archives.plan_archive(archive, root)
        else:
            made = plan_videos(root, media, settings, audit, request.crop_borders)
    if request.pack:
        plan_packing(root, request.pack_size, made)
    lines = say_plan(root, made, audit)
    return Prepared(root, problems=audit.problems, remarks=audit.remarks, lines=lines)


def _draw(request: Request) -> list[str]:
    """Draws the sheet, if one is asked for, and says so."""
    if not request.sheet:
        return []
    from data.overview.sheet import write_sheet  # matplotlib takes seconds

    return [write_sheet(request.root, Path(request.sheet))]


def _make(request: Request) -> Prepared:
    """Makes the dataset; nobody else does meanwhile."""
    from data.dataset.card import write_dataset_card
    from data.dataset.classes import check_kind
    from data.overview.closing import closing_lines
    from data.tfrecords.packing import pack_frames, remark_packed

    kind, root = request.dataset, request.root
    is_of_classes = kind in OF_CLASSES
    check_kind(root, is_of_classes)
    before, audit = read_videos(root), Audit()
    makers = {"cholec80": _videos, "polypsset": _polypsset, "neopolyp": _neopolyp}
    makers["classes"] = _class_folders
    manifest = makers.get(kind, _public_dataset)(request, audit)
    new = [name for name in audit.videos if name not in before]
    summary.note(audit.problems, done=audit.videos, new=new)
    summary.note(changed=audit.changed, gone=audit.gone)
    packed = [pack_frames(root, request.pack_size)] if request.pack else []
    if not request.pack:
        remark_packed(root, audit)
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


def _find_sources(
    request: Request, settings: dict[str, Any], audit: Audit
) -> tuple[Media | None, bool]:
    """What --videos holds, and whether an archive is to be unpacked; may change the settings."""
    from data.archives.unpacking import needs_archive
    from data.preparation.media import has_media
    from data.preparation.pipeline import check_sources

    archive, given = request.path("archive"), request.given
    media = check_sources(
        request.root,
        videos=request.path("videos"),
        operations=request.path("operations"),
        join_parts=request.join_parts,
        archive=archive,
        is_synthetic=request.synthetic,
        is_cholec80=bool(request.name == "cholec80" or archive or "url" in given),
        settings=settings,
        is_fps_given="fps" in given,
        workers=request.workers,
        audit=audit,
    )
    return media, not (media or request.synthetic) and needs_archive(request.root, has_media)


def _videos(request: Request, audit: Audit) -> dict[str, Any]:
    """Makes Cholec80, its miniature, or a dataset of any other videos; returns its splits."""
    from data.archives.cholec80_archive import unpack_archive
    from data.preparation.pipeline import prepare_videos, take_annotations
    from data.synthetic.cholec80 import make_dataset

    root, path, workers = request.root, request.path, request.workers
    settings, archive = request.settings, path("archive")
    beam = request.beam
    media, is_to_unpack = _find_sources(request, settings, audit)
    take_annotations(root, path("annotations"), path("phases"), path("phase_map"), audit)
    if request.synthetic:
        rendered = request.synthetic_videos, request.seed, request.synthetic_seconds
        make_dataset(root, *rendered, workers=workers)
    elif is_to_unpack:
        fetching = request.verify_checksum, request.keep_archive
        unpack_archive(root, request.url, archive, *fetching)
    elif archive:
        audit.remark(f"{root}: has videos or frames already, {archive} is not unpacked")
    rest = request.annotation_fps, path("patients"), beam
    manifest = prepare_videos(root, media, request.cleaning, settings, workers, audit, *rest)
    if beam:
        beam.forget()
    return manifest


def _class_folders(request: Request, audit: Audit) -> dict[str, Any]:
    """Makes a dataset of images in a folder for each class; returns its splits."""
    from data.image_classes.class_folders import prepare_classes

    path = request.path
    return prepare_classes(
        request.root,
        request.needed("images"),
        path("sequences"),
        request.seed,
        audit,
        path("split"),
        request.class_folders,
        path("patients"),
    )


def _public_dataset(request: Request, audit: Audit) -> dict[str, Any]:
    """Makes a public dataset from its archive; returns its splits."""
    from data.public_datasets.preparing import prepare_public

    return prepare_public(
        request.dataset,
        request.root,
        request.needed("archive"),
        request.cleaning,
        request.settings,
        request.workers,
        audit,
    )


def _neopolyp(request: Request, audit: Audit) -> dict[str, Any]:
    """Makes NeoPolyp, of whole frames or crops; returns its splits."""
    from data.image_classes.neopolyp import prepare_neopolyp

    return prepare_neopolyp(
        request.root,
        request.needed("archive"),
        request.crop_margin,
        request.path("sequences"),
        request.seed,
        audit,
    )


def _polypsset(request: Request, audit: Audit) -> dict[str, Any]:
    """Makes PolypsSet or its miniature, of whole frames or crops; returns its splits."""
    from data.image_classes.polypsset import prepare_polyps
    from data.image_classes.writing import check_margin
    from data.synthetic.polyps import make_polyps

    root, margin = request.root, request.crop_margin
    if request.synthetic:
        check_margin(root, margin)
        if "synthetic_videos" in request.given:
            make_polyps(root, request.synthetic_videos, seed=request.seed)
        else:
            make_polyps(root, seed=request.seed)
    return prepare_polyps(root, request.path("archive"), margin, audit)
