r"""Makes a dataset: fetches, renders or takes videos, extracts frames, audits and indexes them.

The dataset is written to <data_rootdir>/<name>/. Every stage skips what is done, so that a run that
was stopped goes on when it is started again.

Examples:
  A miniature of Cholec80, rendered here, without any download (about a minute):
    python prepare.py --data_rootdir=datasets --synthetic

  Your own videos, of any format that FFmpeg reads, and images; annotations are not needed. The
  videos stay where they are and become frames, one a second:
    python prepare.py --data_rootdir=datasets --name=ours --videos=/recordings

  Operations that the recorder has cut into several files, joined; a remark of the call before says
  which ones are recognised by their names:
    python prepare.py --data_rootdir=datasets --name=ours --videos=/recordings --join_parts

  Cholec80 (85 GB, 166 GB while it is unpacked; mind its licence, CC BY-NC-SA 4.0):
    python prepare.py --data_rootdir=datasets --verify_checksum
    python prepare.py --data_rootdir=datasets --archive=/downloads/cholec80.tar.gz

  A dataset that is there already, in <data_rootdir>/<name>/videos or frames, or as TF-Cholec80's
  record files in <data_rootdir>/<name>, is never downloaded over: frames that are missing are
  extracted, and it is audited and indexed. Records become frames and annotations; they are kept.

  Polyps: PolypsSet (doi 10.7910/DVN/FCBUOR), the archive or the unpacked folder; whole frames, or
  crops of the polyps with a margin, a data set of their own; or a rendered miniature of it:
    python prepare.py --data_rootdir=datasets --dataset=polypsset --archive=/downloads/PolypsSet.zip
    python prepare.py --data_rootdir=datasets --dataset=polypsset --name=polyp_crops \
        --archive=datasets/polypsset --crop_margin=0.1
    python prepare.py --data_rootdir=datasets --dataset=polypsset --synthetic

  Any images in a folder for each class, with a CSV (image,sequence) of what is of one patient:
    python prepare.py --data_rootdir=datasets --dataset=classes --name=larynx \
        --images=/images --sequences=/images/patients.csv

  CholecT45, CholecT50, M2CAI16, HeiChole, AutoLaparo, MultiBypass140 or Cataract-101, the archive
  or the unpacked folder, with the splits as published:
    python prepare.py --data_rootdir=datasets --dataset=cholect50 --archive=/downloads/CholecT50.zip

  The same with phases of any names, from a table with the columns video, start, end, phase:
    python prepare.py --data_rootdir=datasets --name=ours --videos=/recordings \
        --annotations=/recordings/phases.csv

Annotations are read from --annotations, which is copied to <name>/annotations, and from
<name>/phase_annotations/<video>-phase.txt and <name>/tool_annotations/<video>-tool.txt, in the
official format of Cholec80. The names of phases and tools are written to classes.json, what was
found to audit.json, the splits by video to splits.json.

Cleaning for pre-training deletes nothing: --drop_black, --drop_out_of_body and
--drop_near_duplicates write pretraining.parquet, an index without such frames, and --crop_borders
writes copies without borders to cropped/, which both indices then name.
data/preparation/cleaning.py says what is measured. Without these flags the next call goes back to
all frames as they are.

--dry_run says what a call would do and what room it needs; --sheet=sheet.jpg draws frames of each
video with their times and phases.

The same command again adds what is new, and extracts again what has changed. What is not among the
usable files of --videos any more stays in the dataset, with a remark. --summary=FILE.json tells
other programs about it; --known_problems=FILE, the summary of another run, keeps what was broken
then from being a failure.

An image in the dataset stays where the one it came from was replaced by a newer one: a remark names
those to be removed, for the next call to take the new ones.

Exit codes: 0 done; 1 done, but something could not be used (listed last); 2 wrong input (frames
that were extracted before it was found stay).
"""

import sys
from pathlib import Path

from absl import flags

from data.common import cli, summary
from data.common.errors import InputError
from data.dataset import cholec80
from data.overview.kinds import COMMON, KINDS, OF_CLASSES, PUBLIC, check_flags_of, config_for
from data.storage.locking import locked
from data.storage.paths import check_local, check_output_folder

with cli.flag_group("The dataset"):
    _ROOT = flags.DEFINE_string("data_rootdir", None, "The folder of all datasets.", required=True)
    _NAME = flags.DEFINE_string(
        "name",
        "cholec80",
        "The dataset's name, a folder in --data_rootdir. Other kinds have their own default.",
    )
    _DATASET = flags.DEFINE_enum(
        "dataset",
        "cholec80",
        [*KINDS],
        "The kind of dataset: Cholec80 and everything else with videos; a public dataset; or "
        "images in a folder for each class.",
    )

with cli.flag_group("Where videos and images come from"):
    _VIDEOS = flags.DEFINE_string(
        "videos",
        None,
        "A folder with videos, DICOM videos or images, which is searched recursively.",
    )
    _ARCHIVE = flags.DEFINE_string(
        "archive",
        None,
        "The archive of a public dataset, fetched before. Of all but Cholec80, it may be unpacked.",
    )
    _URL = flags.DEFINE_string(
        "url", cholec80.ARCHIVE_URL, "Where to fetch Cholec80's archive, if --archive is not given."
    )
    _VERIFY = flags.DEFINE_bool("verify_checksum", False, "Compare the MD5 of Cholec80's archive.")
    _KEEP = flags.DEFINE_bool("keep_archive", False, "Keep a fetched archive after unpacking it.")

with cli.flag_group("Operations in several files"):
    _OPERATIONS = flags.DEFINE_string(
        "operations",
        None,
        "A CSV with the columns file, operation, order (1, 2, ...): which files of --videos are "
        "parts of one operation. They become one video of that name, whose clock runs on.",
    )
    _JOIN = flags.DEFINE_bool(
        "join_parts",
        False,
        "Join the files whose names say that they are parts: op12_part1.mp4, op12 (2).mp4, and "
        "equally long op12_001.mts. Without it, remarks say what it would join.",
    )

with cli.flag_group("A rendered miniature"):
    _SYNTHETIC = flags.DEFINE_bool(
        "synthetic", False, "Render a miniature of Cholec80 or PolypsSet instead."
    )
    _NUMBER = flags.DEFINE_integer(
        "synthetic_videos",
        16,
        "How many videos to render; of PolypsSet, how many sequences, 44 without this flag.",
    )
    _SECONDS = flags.DEFINE_integer(
        "synthetic_seconds", 90, "The mean length of a rendered video, in seconds."
    )
    _SEED = flags.DEFINE_integer(
        "seed", 0, "The seed of everything rendered; with --dataset=classes, of the split."
    )

with cli.flag_group("Frames that are extracted from videos"):
    _FPS = flags.DEFINE_float("fps", 1.0, "How many frames to extract per second of video.")
    _FORMAT = flags.DEFINE_string("format", "jpg", "The format of the frames, jpg or png.")
    _QUALITY = flags.DEFINE_integer("quality", 95, "The quality of JPEG, from 1 to 100.")
    _SIZE = flags.DEFINE_integer(
        "size",
        None,
        "Reduce frames and images whose shorter side is longer than this, in pixels. Images of "
        "--videos become copies; the originals stay as they are.",
    )
    _WORKERS = flags.DEFINE_integer(
        "workers", None, "How many videos to work on at once. Without it, one per core."
    )

with cli.flag_group("Annotations of videos"):
    _ANNOTATIONS = flags.DEFINE_string(
        "annotations",
        None,
        "A file or folder with phases or tools: tables of intervals or of frames, as CSV or text, "
        "files of ELAN, exports of Label Studio. It is copied into the dataset.",
    )
    _ANNOTATION_FPS = flags.DEFINE_float(
        "annotation_fps",
        None,
        "How many annotated frames a second has, where the length of the videos does not tell.",
        lower_bound=0.001,
    )
    _PHASES = flags.DEFINE_string(
        "phases",
        None,
        "A text file with the names of all phases, one a line, in the order of their ids.",
    )
    _PHASE_MAP = flags.DEFINE_string(
        "phase_map",
        None,
        "A CSV with the columns from,to: which spelling stands for which phase.",
    )

with cli.flag_group("Cleaning for pre-training, which deletes nothing"):
    _BLACK = flags.DEFINE_bool("drop_black", False, "Leave out black frames.")
    _OUTSIDE = flags.DEFINE_bool(
        "drop_out_of_body", False, "Leave out frames without the colours of tissue."
    )
    _DUPLICATES = flags.DEFINE_bool(
        "drop_near_duplicates", False, "Leave out frames that repeat the one before."
    )
    _CROP = flags.DEFINE_bool("crop_borders", False, "Cut off black borders, in copies of frames.")

with cli.flag_group("Images with classes"):
    _IMAGES = flags.DEFINE_string(
        "images", None, "With --dataset=classes: the folder that has a folder for each class."
    )
    _SEQUENCES = flags.DEFINE_string(
        "sequences",
        None,
        "With --dataset=classes: a CSV with the columns image,sequence that says which images are "
        "of one patient; with second, time or frame, also in which order.",
    )
    _SPLIT = flags.DEFINE_string(
        "split",
        None,
        "With --dataset=classes: a CSV with the columns image and split (train, validation, test) "
        "or fold.",
    )
    _LEVEL = flags.DEFINE_enum(
        "class_folders",
        None,
        ["first", "last"],
        "With --dataset=classes: which folder names the class of images that lie deeper.",
    )
    _MARGIN = flags.DEFINE_float(
        "crop_margin",
        None,
        "With --dataset=polypsset: crop the polyps, with this share of their size around them.",
    )

with cli.flag_group("Looking, before and after"):
    _DRY_RUN = flags.DEFINE_bool(
        "dry_run",
        False,
        "Write nothing: say which videos there are, which frames would be extracted, how much room "
        "they need, and what cannot be used, as far as headers tell.",
    )
    _SHEET = flags.DEFINE_string(
        "sheet",
        None,
        "A picture, .jpg or .png, of frames of each video and their phases; of a dataset that is "
        "there, without other flags than its name, nothing else is done.",
    )

with cli.flag_group("For other programs"):
    summary.define_summary()

PICTURES = (".jpg", ".jpeg", ".png")


def main() -> int:
    """Runs the stages. Everything that can be checked is, before anything is written."""
    kind = _DATASET.value
    name = _NAME.value if _NAME.present or kind == "cholec80" else kind
    root = Path(_ROOT.value) / name
    sources = [flag.value for flag in (_VIDEOS, _ARCHIVE, _IMAGES, _ANNOTATIONS) if flag.value]
    summary.note(inputs=sources or [root], outputs=[root])
    check_flags(root)
    if _DRY_RUN.value:
        return plan(kind, root)
    if is_sheet_alone(root):
        return draw(root)
    with locked(root, ".lock"):
        return prepare(kind, root)


def plan(kind: str, root: Path) -> int:
    """Says what `prepare` would do; the exit code that it would have, as far as it is known."""
    from data.dataset.audit import Audit
    from data.dataset.classes import check_kind
    from data.image_classes.polypsset import check_polyps
    from data.overview import plan_archives
    from data.overview.plan import Plan, say_plan
    from data.overview.plan_videos import plan_videos
    from data.preparation.pipeline import check_annotations

    check_kind(root, is_of_classes=kind in OF_CLASSES)
    audit, archive = Audit(), _path(_ARCHIVE)
    if kind in PUBLIC:
        made = plan_archives.plan_public(kind, root, archive, frame_settings(), audit)
    elif kind == "classes":
        tables = {"sequence": _path(_SEQUENCES), "split": _path(_SPLIT)}
        made = plan_archives.plan_classes(root, _path(_IMAGES), tables, _LEVEL.value, audit)
    elif _SYNTHETIC.value:
        made = Plan(["a miniature, to be rendered"], is_certain=False)
    elif kind == "polypsset":
        check_polyps(root, archive, _MARGIN.value)
        made = plan_archives.plan_archive(archive or root, root)
    else:
        settings = frame_settings()
        media, is_to_unpack = find_sources(root, settings, audit)
        check_annotations(_path(_ANNOTATIONS), _path(_PHASES), _path(_PHASE_MAP))
        if is_to_unpack:
            made = plan_archives.plan_archive(archive, root)
        else:
            made = plan_videos(root, media, settings, audit, _CROP.value)
    return say_plan(root, made, audit)


def draw(root: Path) -> int:
    """Draws --sheet."""
    from data.overview.sheet import write_sheet

    print(write_sheet(root, Path(_SHEET.value)))
    return cli.DONE


def prepare(kind: str, root: Path) -> int:
    """Makes the dataset in `root`; nobody else does meanwhile."""
    from data.dataset.audit import Audit, read_videos
    from data.dataset.classes import check_kind
    from data.overview.closing import close

    is_of_classes = kind in OF_CLASSES
    check_kind(root, is_of_classes)
    audit = Audit()
    before = read_videos(root)
    if kind == "cholec80":
        manifest = prepare_cholec80(root, audit)
    elif kind in PUBLIC:
        manifest = prepare_public_dataset(root, audit)
    elif kind == "polypsset":
        manifest = prepare_polypsset(root, audit)
    else:
        manifest = prepare_class_folders(root, audit)
    new = [name for name in audit.videos if name not in before]
    summary.note(audit.problems, done=audit.videos, new=new)
    summary.note(changed=audit.changed, gone=audit.gone)
    code = close(root, audit, manifest, is_of_classes, config_for(kind, _SYNTHETIC.value))
    return code if not _SHEET.value else draw(root) or code


def find_sources(root: Path, settings: dict, audit) -> tuple:
    """What --videos holds, and whether an archive is to be unpacked."""
    from data.archives.unpacking import needs_archive
    from data.preparation.media import has_media
    from data.preparation.pipeline import check_sources

    archive = _path(_ARCHIVE)
    media = check_sources(
        root,
        videos=_path(_VIDEOS),
        operations=_path(_OPERATIONS),
        join_parts=_JOIN.value,
        archive=archive,
        is_synthetic=_SYNTHETIC.value,
        is_cholec80=bool(_NAME.value == _NAME.default or archive or _URL.present),
        settings=settings,
        is_fps_given=_FPS.present,
        workers=_WORKERS.value,
        audit=audit,
    )
    return media, not (media or _SYNTHETIC.value) and needs_archive(root, has_media)


def prepare_cholec80(root: Path, audit) -> dict:
    """Makes Cholec80, its miniature, or a dataset of any other videos; returns its splits."""
    from data.archives.cholec80_archive import unpack_archive
    from data.preparation.pipeline import prepare_videos, take_annotations
    from data.synthetic.cholec80 import make_dataset

    settings, archive = frame_settings(), _path(_ARCHIVE)
    media, is_to_unpack = find_sources(root, settings, audit)
    take_annotations(root, _path(_ANNOTATIONS), _path(_PHASES), _path(_PHASE_MAP), audit)
    if _SYNTHETIC.value:
        make_dataset(root, _NUMBER.value, _SEED.value, _SECONDS.value, workers=_WORKERS.value)
    elif is_to_unpack:
        unpack_archive(root, _URL.value, archive, _VERIFY.value, _KEEP.value)
    elif archive:
        print(f"{root}: has videos or frames already, {archive} is not unpacked")
    return prepare_videos(
        root, media, chosen_cleaning(), settings, _WORKERS.value, audit, _ANNOTATION_FPS.value
    )


def prepare_class_folders(root: Path, audit) -> dict:
    """Makes a dataset of images in a folder for each class; returns its splits."""
    from data.image_classes.class_folders import prepare_classes

    tables = _path(_SEQUENCES), _SEED.value, audit, _path(_SPLIT)
    return prepare_classes(root, _path(_IMAGES), *tables, _LEVEL.value)


def prepare_public_dataset(root: Path, audit) -> dict:
    """Makes a public dataset from its archive; returns its splits."""
    from data.public_datasets.preparing import prepare_public

    kind, archive, cleaning = _DATASET.value, _path(_ARCHIVE), chosen_cleaning()
    return prepare_public(kind, root, archive, cleaning, frame_settings(), _WORKERS.value, audit)


def prepare_polypsset(root: Path, audit) -> dict:
    """Makes PolypsSet or its miniature, of whole frames or crops; returns its splits."""
    from data.image_classes.polypsset import check_margin, prepare_polyps
    from data.synthetic.polyps import make_polyps

    if _SYNTHETIC.value:
        check_margin(root, _MARGIN.value)
        number = {"sequences": _NUMBER.value} if _NUMBER.present else {}
        make_polyps(root, seed=_SEED.value, **number)
    return prepare_polyps(root, _path(_ARCHIVE), _MARGIN.value, audit)


def frame_settings() -> dict:
    """fps, format, quality and size of the frames that are extracted."""
    return {flag.name: flag.value for flag in (_FPS, _FORMAT, _QUALITY, _SIZE)}


def chosen_cleaning():
    """What is left out for pre-training."""
    from data.preparation.cleaning import Cleaning

    return Cleaning(_BLACK.value, _OUTSIDE.value, _DUPLICATES.value, _CROP.value)


def given_flags() -> set[str]:
    """The names of the flags on the command line."""
    known = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    return {flag.name for flag in known if flag.present}


def is_sheet_alone(root: Path) -> bool:
    """Whether a dataset that is there is to be drawn, and nothing else done."""
    is_asked = _SHEET.value and given_flags() <= COMMON
    return bool(is_asked) and (root / "index.parquet").is_file()


def check_flags(root: Path) -> None:
    """Raises `InputError` for flags that do not fit together, or if `root` cannot be a dataset."""
    kind, given = _DATASET.value, given_flags()
    check_flags_of(kind, given)
    annotations = (_ANNOTATIONS, _PHASES, _PHASE_MAP)
    for flag in (_ROOT, _VIDEOS, _OPERATIONS, _ARCHIVE, _IMAGES, _SEQUENCES, _SPLIT, *annotations):
        if flag.value == "":
            raise InputError(f"--{flag.name} is empty; expected a path")
        if flag.value:
            check_local(f"--{flag.name}", flag.value)
    for folder in (root, root / "videos", root / "frames"):
        check_output_folder("--data_rootdir", folder)
    if root.name in ("", ".", "..") or (_NAME.present and Path(_NAME.value).name != _NAME.value):
        raise InputError(f"--name={_NAME.value}: expected the name of a folder in --data_rootdir")
    if kind in OF_CLASSES and _SYNTHETIC.value and _ARCHIVE.value:
        raise InputError("--synthetic and --archive: one of them at a time")
    if _SHEET.value is not None and Path(_SHEET.value).suffix.lower() not in PICTURES:
        raise InputError(f"--sheet={_SHEET.value}: expected a name that ends in .jpg or .png")
    if _SHEET.value and _DRY_RUN.value:
        raise InputError("--sheet and --dry_run: one of them at a time; a dry run writes nothing")
    if is_sheet_alone(root):
        return
    if kind in PUBLIC and not _ARCHIVE.value:
        raise InputError(f"--dataset={kind}: needs --archive, its archive or the unpacked folder")
    if kind == "classes" and not _IMAGES.value:
        raise InputError("--dataset=classes: needs --images, a folder with a folder for each class")


def _path(flag) -> Path | None:
    return Path(flag.value) if flag.value else None


if __name__ == "__main__":
    cli.run(main, (InputError,), kept="what is done is kept; the same command goes on")
