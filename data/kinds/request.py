"""What is asked of `prepare`: its values, and which of them cannot be, or not together."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from data.common.errors import InputError, check_choices, check_range
from data.dataset import cholec80
from data.kinds.kinds import COMMON, KINDS, OF_CLASSES, PUBLIC, check_flags_of
from data.storage.paths import check_local, check_output_folder, to_path

if TYPE_CHECKING:
    from data.indexing.cleaning import Cleaning
    from data.preparation.on_beam import Beam

PICTURES = (".jpg", ".jpeg", ".png")
PATHS = (
    *("data_rootdir", "videos", "operations", "archive", "images", "sequences", "split"),
    *("annotations", "phases", "phase_map", "patients"),
)


@dataclass(frozen=True)
class Request:
    """What is asked for: the arguments of `prepare` with their defaults.

    Attributes:
      given: the names of those that the caller has given.
    """

    given: frozenset[str]
    data_rootdir: str
    name: str = "cholec80"
    dataset: str = "cholec80"
    videos: str | None = None
    archive: str | None = None
    url: str = cholec80.ARCHIVE_URL
    verify_checksum: bool = False
    keep_archive: bool = False
    operations: str | None = None
    join_parts: bool = False
    synthetic: bool = False
    synthetic_videos: int = 16
    synthetic_seconds: int = 90
    seed: int = 0
    fps: float = 1.0
    format: str = "jpg"
    quality: int = 95
    size: int | None = None
    workers: int | None = None
    beam_pipeline_options: str | None = None
    annotations: str | None = None
    annotation_fps: float | None = None
    phases: str | None = None
    phase_map: str | None = None
    patients: str | None = None
    drop_black: bool = False
    drop_out_of_body: bool = False
    drop_near_duplicates: bool = False
    crop_borders: bool = False
    pack: bool = False
    pack_size: int = 256
    images: str | None = None
    sequences: str | None = None
    split: str | None = None
    class_folders: str | None = None
    crop_margin: float | None = None
    dry_run: bool = False
    sheet: str | None = None

    @classmethod
    def of(cls, arguments: dict[str, Any]) -> Request:
        """The request of a call; None and False are not given, and paths become texts."""
        given: dict[str, Any] = {
            name: str(value)
            if hasattr(value, "joinpath") or isinstance(value, os.PathLike)
            else value
            for name, value in arguments.items()
            if value is not None and value is not False
        }
        return cls(given=frozenset(given), **given)

    @classmethod
    def arguments(cls) -> list[str]:
        """The names of all that can be asked for."""
        return [field.name for field in dataclasses.fields(cls) if field.name != "given"]

    @property
    def root(self) -> Path:
        """The dataset directory; a remote one can do what `Path` can."""
        has_name = "name" in self.given or self.dataset == "cholec80"
        root = to_path(self.data_rootdir) / (self.name if has_name else self.dataset)
        return cast("Path", root)

    def path(self, name: str) -> Path | None:
        """The value of an argument that is a path; a remote one can do what `Path` can."""
        return cast("Path", to_path(getattr(self, name))) if getattr(self, name) else None

    def needed(self, name: str) -> Path:
        """The value of an argument that is a path, and that `check` asks for."""
        return Path(getattr(self, name))

    @property
    def settings(self) -> dict[str, Any]:
        """fps, format, quality and size of the frames that are extracted."""
        return {name: getattr(self, name) for name in ("fps", "format", "quality", "size")}

    @property
    def cleaning(self) -> Cleaning:
        """What is left out for pre-training."""
        from data.indexing.cleaning import Cleaning

        return Cleaning(
            self.drop_black, self.drop_out_of_body, self.drop_near_duplicates, self.crop_borders
        )

    @property
    def beam(self) -> Beam | None:
        """What has workers of Apache Beam do the work; None where this process does it."""
        if self.beam_pipeline_options is None:
            return None
        from data.preparation.on_beam import Beam

        return Beam(self.beam_pipeline_options, self.root, self.workers)

    @property
    def is_sheet_alone(self) -> bool:
        """Whether a dataset that is there is to be drawn, and nothing else done."""
        return bool(self.sheet and self.given <= COMMON) and (self.root / "index.parquet").is_file()


def check(request: Request) -> None:
    """Raises `InputError` for values that do not fit together, or if there can be no dataset."""
    kind, root = request.dataset, request.root
    choices = {"dataset": KINDS, "class_folders": (None, "first", "last")}
    check_choices({name: getattr(request, name) for name in choices}, choices)
    if request.annotation_fps is not None:
        check_range("annotation_fps", request.annotation_fps, 0.001)
    check_flags_of(kind, set(request.given))
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
        raise InputError("--synthetic and --archive: expected one of them at a time")
    if request.sheet is not None and Path(request.sheet).suffix.lower() not in PICTURES:
        raise InputError(f"--sheet={request.sheet}: expected a name that ends in .jpg or .png")
    if request.sheet and request.dry_run:
        raise InputError(
            "--sheet and --dry_run: expected one of them at a time; a dry run writes nothing"
        )
    if request.pack:
        check_local("--pack: --data_rootdir", request.data_rootdir, "; pack first, then copy")
    if "pack_size" in request.given:
        from data.tfrecords.packing import check_size

        check_size(request.pack_size)
        if not request.pack:
            raise InputError("--pack_size: without effect; expected --pack as well")
    if request.is_sheet_alone:
        return
    request.beam  # noqa: B018 - what is wrong with its options is said now
    if (kind in PUBLIC or kind == "neopolyp") and not request.archive:
        raise InputError(f"--dataset={kind}: needs --archive, its archive or the unpacked folder")
    if kind == "classes" and not request.images:
        raise InputError("--dataset=classes: needs --images, a folder with a folder for each class")
    if request.patients:
        from data.annotations.patients import check_patients

        check_patients(Path(request.patients))
