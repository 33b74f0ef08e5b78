r"""Makes a dataset: fetches or renders or takes over videos, extracts frames, audits, indexes.

The dataset is written to <data_rootdir>/<name>/. Every stage skips what is done, so that a run that
was stopped goes on when it is started again.

Examples:
  A miniature of Cholec80, rendered here, without any download (about a minute):
    python prepare.py --data_rootdir=datasets --synthetic

  Your own videos, of any format that OpenCV reads, and images; annotations are not needed. The
  videos stay where they are and become frames, one a second:
    python prepare.py --data_rootdir=datasets --name=ours --videos=/recordings

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

Annotations are <name>/phase_annotations/<video>-phase.txt and <name>/tool_annotations/
<video>-tool.txt, in the official format. What was found is in audit.json, the splits by video are
in splits.json.

Cleaning for pre-training deletes nothing: --drop_black, --drop_out_of_body and
--drop_near_duplicates write pretraining.parquet, an index without such frames, and --crop_borders
writes copies without borders to cropped/, which both indices then name.
data/preparation/cleaning.py says what is measured. Without these flags the next call goes back to
all frames as they are.

Exit codes: 0 done; 1 done, but something could not be used (listed last); 2 wrong input (frames
that were extracted before it was found stay).
"""

import shlex
import sys
from pathlib import Path

from absl import flags

from data.common import cli
from data.common.errors import InputError
from data.dataset import cholec80
from data.storage.paths import check_local, check_output_folder

_ROOT = flags.DEFINE_string("data_rootdir", None, "folder of datasets", required=True)
_DATASET = flags.DEFINE_enum(
    "dataset",
    "cholec80",
    ["cholec80", "polypsset", "classes"],
    "cholec80, and anything with videos; polypsset; classes: images in a folder for each class",
)
_NAME = flags.DEFINE_string(
    "name", "cholec80", "name of the dataset, a folder in data_rootdir (default: that of --dataset)"
)
_VIDEOS = flags.DEFINE_string("videos", None, "folder with videos or images, searched recursively")

_IMAGES = flags.DEFINE_string("images", None, "of classes: folder with a folder for each class")
_SEQUENCES = flags.DEFINE_string("sequences", None, "of classes: CSV with image,sequence")
_MARGIN = flags.DEFINE_float("crop_margin", None, "of polypsset: crop polyps, with this margin")

_SYNTHETIC = flags.DEFINE_bool("synthetic", False, "render a miniature of the dataset")
_NUMBER = flags.DEFINE_integer("synthetic_videos", 16, "how many videos to render")
_SECONDS = flags.DEFINE_integer("synthetic_seconds", 90, "mean length of a rendered video")
_SEED = flags.DEFINE_integer("seed", 0, "of what is rendered; of classes, the split's")

_URL = flags.DEFINE_string("url", cholec80.ARCHIVE_URL, "where to fetch Cholec80, or a mirror")
_ARCHIVE = flags.DEFINE_string("archive", None, "archive that is there already")
_VERIFY = flags.DEFINE_bool("verify_checksum", False, "compare the archive's MD5")
_KEEP = flags.DEFINE_bool("keep_archive", False, "keep the fetched archive after unpacking")

_FPS = flags.DEFINE_float("fps", 1.0, "frames to extract per second of video")
_FORMAT = flags.DEFINE_string("format", "jpg", "of the frames, jpg or png")
_QUALITY = flags.DEFINE_integer("quality", 95, "of JPEG, 1 to 100")
_SIZE = flags.DEFINE_integer("size", None, "reduce frames to this shorter side, in pixels")
_WORKERS = flags.DEFINE_integer("workers", None, "videos worked on at once (default: one a core)")

_BLACK = flags.DEFINE_bool("drop_black", False, "do not pre-train on black frames")
_OUTSIDE = flags.DEFINE_bool("drop_out_of_body", False, "nor on frames without a colour of tissue")
_DUPLICATES = flags.DEFINE_bool("drop_near_duplicates", False, "nor on a picture that stands still")
_CROP = flags.DEFINE_bool("crop_borders", False, "cut black borders off, in copies of the frames")


# What pre-trains on a data set, and on its miniature.
CONFIGS = {
    "cholec80": ("msn_base", "msn_demo"),
    "polypsset": ("msn_vits16_colonoscopy", "msn_polyps_demo"),
    "classes": ("msn_base", "msn_base"),
}
# Flags that a data set of classes knows; others would be without effect.
COMMON = {"data_rootdir", "name", "dataset"}
KNOWN = {
    "polypsset": {"archive", "crop_margin", "synthetic", "synthetic_videos", "seed"},
    "classes": {"images", "sequences", "seed"},
}


def main() -> int:
    """Runs the stages. Everything that can be checked is, before anything is written."""
    if _DATASET.value in KNOWN:
        return labelled_images()
    from data.archives.cholec80_archive import unpack_archive
    from data.dataset.splits import write_splits
    from data.images.linking import link_images
    from data.preparation.audit import Audit, remark_shared
    from data.preparation.cleaning import Cleaning
    from data.preparation.extraction import extract_frames
    from data.preparation.indexing import build_index
    from data.preparation.media import needs_archive, own_videos
    from data.synthetic.cholec80 import make_dataset
    from data.tfrecords.files import find_records

    root = Path(_ROOT.value).expanduser() / _NAME.value
    settings = {name: flags.FLAGS[name].value for name in ("fps", "format", "quality", "size")}
    media = check(root, settings)

    if _SYNTHETIC.value:
        make_dataset(root, _NUMBER.value, _SEED.value, _SECONDS.value, workers=_WORKERS.value)
    elif not media and needs_archive(root):
        archive = Path(_ARCHIVE.value) if _ARCHIVE.value else None
        unpack_archive(root, _URL.value, archive, _VERIFY.value, _KEEP.value)
    elif _ARCHIVE.value:
        print(f"{root}: has videos or frames already, {_ARCHIVE.value} is not unpacked")

    audit = Audit()
    records = find_records(root)
    if records:
        from data.preparation.record_extraction import (
            extract_records,  # needs TensorFlow, which takes its time
        )

        faults = extract_records(records, root, workers=_WORKERS.value, **settings)
        audit.problems += faults.values()
    videos = {name: file for name, file in own_videos(root).items() if name not in records}
    videos |= media.videos if media else {}
    broken = extract_frames(videos, root / "frames", workers=_WORKERS.value, **settings)
    audit.problems += broken.values()
    if media:
        audit.problems += link_images(media.images, root / "frames").values()
        audit.remarks += [f"{file}: neither a video nor an image" for file in media.others]
    if not (root / "frames").is_dir():
        raise InputError(f"nothing could be used: {'; '.join(audit.problems)}")
    remark_shared(root, audit)
    cleaning = Cleaning(_BLACK.value, _OUTSIDE.value, _DUPLICATES.value, _CROP.value)
    build_index(root, audit, cleaning)
    write_splits(root)
    return report(root, audit)


def check(root: Path, settings: dict):
    """What --videos holds, None without it; raises `InputError` for flags that are wrong."""
    from data.dataset.extraction_log import read_record
    from data.preparation.media import find_media, needs_archive
    from data.video.decoding import check_settings

    for flag in (_IMAGES, _SEQUENCES, _MARGIN):
        if flag.present:
            raise InputError(f"--{flag.name}: without effect for --dataset=cholec80")
    check_place(root)
    given = [f"--{flag.name}" for flag in (_VIDEOS, _SYNTHETIC, _ARCHIVE) if flag.value]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)}: one of them at a time")
    if _SYNTHETIC.value and not needs_archive(root) and not (root / "synthetic.json").is_file():
        raise InputError(f"--synthetic: {root} holds other videos or frames; use another --name")
    check_settings(**settings, workers=_WORKERS.value)
    read_record(root / "frames", settings)
    if _ARCHIVE.value and not Path(_ARCHIVE.value).is_file():
        raise InputError(f"--archive={_ARCHIVE.value}: no such file")
    if _VIDEOS.value:
        return find_media(Path(_VIDEOS.value).expanduser(), outside=root)
    is_cholec80 = _NAME.value == _NAME.default or _ARCHIVE.value or _URL.present
    if needs_archive(root) and not _SYNTHETIC.value and not is_cholec80:
        raise InputError(
            f"{root}: no videos and no frames in it; give --videos=FOLDER, or --synthetic"
        )
    return None


def labelled_images() -> int:
    """Makes a data set of images with a class each: --dataset=polypsset and --dataset=classes."""
    from data.image_classes.class_folders import prepare_classes
    from data.image_classes.polypsset import check_margin, prepare_polyps
    from data.image_classes.writing import split_table
    from data.preparation.audit import Audit
    from data.synthetic.polyps import make_polyps

    name = _NAME.value if _NAME.present else _DATASET.value
    root = Path(_ROOT.value).expanduser() / name
    check_labelled(root)
    audit = Audit()
    if _DATASET.value == "classes":
        sequences = Path(_SEQUENCES.value).expanduser() if _SEQUENCES.value else None
        images = Path(_IMAGES.value).expanduser()
        manifest = prepare_classes(root, images, sequences, _SEED.value, audit)
    else:
        if _SYNTHETIC.value:
            check_margin(root, _MARGIN.value)
            number = {"sequences": _NUMBER.value} if _NUMBER.present else {}
            make_polyps(root, seed=_SEED.value, **number)
        archive = Path(_ARCHIVE.value).expanduser() if _ARCHIVE.value else None
        manifest = prepare_polyps(root, archive, _MARGIN.value, audit)
    code = report(root, audit)
    print(split_table(manifest))
    return code


def check_labelled(root: Path) -> None:
    """Raises `InputError` for flags that do not fit a data set of images with classes."""
    given = {
        flag.name for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0]) if flag.present
    }
    if unknown := sorted(given - COMMON - KNOWN[_DATASET.value]):
        raise InputError(f"--{unknown[0]}: without effect for --dataset={_DATASET.value}")
    check_place(root)
    if _SYNTHETIC.value and _ARCHIVE.value:
        raise InputError("--synthetic and --archive: one of them at a time")
    if _DATASET.value == "classes" and not _IMAGES.value:
        raise InputError("--dataset=classes: needs --images, a folder with a folder for each class")


def check_place(root: Path) -> None:
    """Raises `InputError` if flags are empty paths, or `root` cannot be a dataset directory."""
    for flag in (_ROOT, _VIDEOS, _ARCHIVE, _IMAGES, _SEQUENCES):
        if flag.value == "":
            raise InputError(f"--{flag.name} is empty; expected a path")
        if flag.value:
            check_local(f"--{flag.name}", flag.value)
    for folder in (root, root / "videos", root / "frames"):
        check_output_folder("--data_rootdir", folder)
    if root.name in ("", ".", "..") or (_NAME.present and Path(_NAME.value).name != _NAME.value):
        raise InputError(f"--name={_NAME.value}: the name of a folder in --data_rootdir is needed")


def report(root: Path, audit) -> int:
    """Prints what there is now, what to do next and what could not be used; the exit code."""
    videos = "sequences" if _DATASET.value in KNOWN else "videos"
    counts = f"{len(audit.videos)} {videos}, {audit.total('frames')} frames"
    print(audit.table())
    print(f"\n{root}: {counts}, {audit.total('labelled')} of them labelled")
    if audit.cleaned():
        print(f"{root}: {audit.total('pretraining')} frames are left for pre-training")
    config = f"configs/{CONFIGS[_DATASET.value][_SYNTHETIC.value]}.py"
    arguments = (f"--config={config}", f"--workdir=runs/{root.name}", f"--config.data.root={root}")
    print("next:", shlex.join(["python", "-m", "msn.train", *arguments]))
    for problem in audit.problems:
        print(f"not used: {problem}")
    return cli.DONE_IN_PART if audit.problems else cli.DONE


if __name__ == "__main__":
    cli.run(main, wrong_input=(InputError,))
