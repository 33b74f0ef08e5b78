"""A dataset of any kind, as it is asked for: `run(Request(...))` is what `prepare.py` does."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from data.common import cli, summary
from data.common.errors import InputError
from data.dataset.audit import Audit, read_videos
from data.overview.kinds import COMMON, OF_CLASSES, PUBLIC, check_flags_of, config_for
from data.storage.locking import locked
from data.storage.paths import AnyPath, check_local, check_output_folder, to_path

PICTURES = (".jpg", ".jpeg", ".png")
PATHS = ("data_rootdir", "videos", "operations", "archive", "images", "sequences", "split")
PATHS += ("annotations", "phases", "phase_map", "patients")


@dataclass(frozen=True)
class Request:
    """What is asked for: the values of the flags of `prepare.py`, which explains them.

    Attributes:
      given: the names of the flags that a user has given; the others have their defaults.
    """

    given: frozenset[str]
    data_rootdir: str
    name: str
    dataset: str
    videos: str | None
    archive: str | None
    url: str
    verify_checksum: bool
    keep_archive: bool
    operations: str | None
    join_parts: bool
    synthetic: bool
    synthetic_videos: int
    synthetic_seconds: int
    seed: int
    fps: float
    format: str
    quality: int
    size: int | None
    workers: int | None
    beam_pipeline_options: str | None
    annotations: str | None
    annotation_fps: float | None
    phases: str | None
    phase_map: str | None
    patients: str | None
    drop_black: bool
    drop_out_of_body: bool
    drop_near_duplicates: bool
    crop_borders: bool
    images: str | None
    sequences: str | None
    split: str | None
    class_folders: str | None
    crop_margin: float | None
    dry_run: bool
    sheet: str | None

    @classmethod
    def flags(cls) -> list[str]:
        """The names of the flags."""
        return [field.name for field in dataclasses.fields(cls) if field.name != "given"]

    @property
    def root(self) -> AnyPath:
        """The dataset directory."""
        has_name = "name" in self.given or self.dataset == "cholec80"
        return to_path(self.data_rootdir) / (self.name if has_name else self.dataset)

    def path(self, name: str) -> AnyPath | None:
        """The value of a flag that is a path."""
        return to_path(getattr(self, name)) if getattr(self, name) else None

    @property
    def settings(self) -> dict:
        """fps, format, quality and size of the frames that are extracted."""
        return {name: getattr(self, name) for name in ("fps", "format", "quality", "size")}

    @property
    def cleaning(self):
        """What is left out for pre-training."""
        from data.preparation.cleaning import Cleaning

        return Cleaning(
            self.drop_black, self.drop_out_of_body, self.drop_near_duplicates, self.crop_borders
        )

    @property
    def beam(self):
        """What has workers of Apache Beam do the work; None where this process does it."""
        if self.beam_pipeline_options is None:
            return None
        from data.preparation.on_beam import Beam

        return Beam(self.beam_pipeline_options, self.root, self.workers)

    @property
    def is_sheet_alone(self) -> bool:
        """Whether a dataset that is there is to be drawn, and nothing else done."""
        return bool(self.sheet and self.given <= COMMON) and (self.root / "index.parquet").is_file()


def run(request: Request) -> int:
    """Plans, draws or makes the dataset, as it is asked for; the exit code.

    Raises:
      InputError: what is asked for cannot be; everything that can be checked is, before anything
        is written.
    """
    root = request.root
    sources = (request.videos, request.archive, request.images, request.annotations)
    summary.note(inputs=[source for source in sources if source] or [root], outputs=[root])
    check(request)
    if request.dry_run:
        return plan(request)
    if request.is_sheet_alone:
        return draw(request)
    with locked(root, ".lock"):
        return prepare(request)


def check(request: Request) -> None:
    """Raises `InputError` for flags that do not fit together, or if there can be no dataset."""
    kind, root = request.dataset, request.root
    check_flags_of(kind, request.given)
    for name in PATHS:
        if getattr(request, name) == "":
            raise InputError(f"--{name} is empty; expected a path")
        is_for_workers = name in ("data_rootdir", "videos")
        if getattr(request, name) and not (is_for_workers and request.beam_pipeline_options):
            other = ", or --beam_pipeline_options" if is_for_workers else ""
            check_local(f"--{name}", getattr(request, name), other)
    for folder in (root, root / "videos", root / "frames"):
        check_output_folder("--data_rootdir", folder)
    is_name = "name" not in request.given or Path(request.name).name == request.name
    if root.name in ("", ".", "..") or not is_name:
        raise InputError(f"--name={request.name}: expected the name of a folder in --data_rootdir")
    if kind in OF_CLASSES and request.synthetic and request.archive:
        raise InputError("--synthetic and --archive: one of them at a time")
    if request.sheet is not None and Path(request.sheet).suffix.lower() not in PICTURES:
        raise InputError(f"--sheet={request.sheet}: expected a name that ends in .jpg or .png")
    if request.sheet and request.dry_run:
        raise InputError("--sheet and --dry_run: one of them at a time; a dry run writes nothing")
    if request.is_sheet_alone:
        return
    request.beam  # noqa: B018 - what is wrong with its options is said now
    if kind in PUBLIC and not request.archive:
        raise InputError(f"--dataset={kind}: needs --archive, its archive or the unpacked folder")
    if kind == "classes" and not request.images:
        raise InputError("--dataset=classes: needs --images, a folder with a folder for each class")
    if request.patients:
        from data.annotations.patients import check_patients

        check_patients(request.path("patients"))


def plan(request: Request) -> int:
    """Says what `prepare` would do; the exit code that it would have, as far as it is known."""
    from data.dataset.classes import check_kind
    from data.image_classes.polypsset import check_polyps
    from data.overview import plan_archives
    from data.overview.plan import Plan, say_plan
    from data.overview.plan_videos import plan_videos
    from data.preparation.pipeline import check_annotations

    kind, root, path = request.dataset, request.root, request.path
    check_kind(root, is_of_classes=kind in OF_CLASSES)
    audit, archive, settings = Audit(), path("archive"), request.settings
    if kind in PUBLIC:
        made = plan_archives.plan_public(kind, root, archive, settings, audit)
    elif kind == "classes":
        tables = {"sequence": path("sequences"), "split": path("split")}
        level = request.class_folders
        made = plan_archives.plan_classes(root, path("images"), tables, level, audit)
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
    return say_plan(root, made, audit)


def draw(request: Request) -> int:
    """Draws the sheet."""
    from data.overview.sheet import write_sheet

    print(write_sheet(request.root, Path(request.sheet)))
    return cli.DONE


def prepare(request: Request) -> int:
    """Makes the dataset; nobody else does meanwhile."""
    from data.dataset.classes import check_kind
    from data.overview.closing import close

    kind, root = request.dataset, request.root
    is_of_classes = kind in OF_CLASSES
    check_kind(root, is_of_classes)
    before, audit = read_videos(root), Audit()
    makers = {"cholec80": _videos, "polypsset": _polypsset, "classes": _class_folders}
    manifest = makers.get(kind, _public_dataset)(request, audit)
    new = [name for name in audit.videos if name not in before]
    summary.note(audit.problems, done=audit.videos, new=new)
    summary.note(changed=audit.changed, gone=audit.gone)
    code = close(root, audit, manifest, is_of_classes, config_for(kind, request.synthetic))
    return code if not request.sheet else draw(request) or code


def _find_sources(request: Request, settings: dict, audit: Audit) -> tuple:
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


def _videos(request: Request, audit: Audit) -> dict:
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
        print(f"{root}: has videos or frames already, {archive} is not unpacked")
    rest = request.annotation_fps, path("patients"), beam
    manifest = prepare_videos(root, media, request.cleaning, settings, workers, audit, *rest)
    if beam:
        beam.forget()
    return manifest


def _class_folders(request: Request, audit: Audit) -> dict:
    """Makes a dataset of images in a folder for each class; returns its splits."""
    from data.image_classes.class_folders import prepare_classes

    path = request.path
    return prepare_classes(
        request.root,
        path("images"),
        path("sequences"),
        request.seed,
        audit,
        path("split"),
        request.class_folders,
        path("patients"),
    )


def _public_dataset(request: Request, audit: Audit) -> dict:
    """Makes a public dataset from its archive; returns its splits."""
    from data.public_datasets.preparing import prepare_public

    return prepare_public(
        request.dataset,
        request.root,
        request.path("archive"),
        request.cleaning,
        request.settings,
        request.workers,
        audit,
    )


def _polypsset(request: Request, audit: Audit) -> dict:
    """Makes PolypsSet or its miniature, of whole frames or crops; returns its splits."""
    from data.image_classes.polypsset import check_margin, prepare_polyps
    from data.synthetic.polyps import make_polyps

    root, margin = request.root, request.crop_margin
    if request.synthetic:
        check_margin(root, margin)
        is_given = "synthetic_videos" in request.given
        number = {"sequences": request.synthetic_videos} if is_given else {}
        make_polyps(root, seed=request.seed, **number)
    return prepare_polyps(root, request.path("archive"), margin, audit)
