"""BKAI-IGH NeoPolyp-Small: is a polyp neoplastic or not? From masks to crops, or to whole frames.

    train/<32 hexadecimal digits>.jpeg      1,000 images
    train_gt/<the same name>.jpeg           their masks: red neoplastic, green non-neoplastic
    test/<32 hexadecimal digits>.jpeg       200 images without masks

On Kaggle each folder is in another of its name (train/train/). Sources: Lan et al., "NeoUNet:
Towards accurate colon polyp segmentation and neoplasm detection", ISVC 2021 (whose larger data set
has a third kind, undefined); kaggle.com/competitions/bkai-igh-neopolyp, whose layout and colours
are those that public code reads (namhainguyen2803/BKAI-IGH-NeoPolyp-Challenge among it). We have
not seen the archive.

Whole frames have the class of all their polyps, none where they have several or an object of
another colour; the images without masks are there without a class, to pre-train on
(`--config.data.exclude_videos=neopolyp_train_*` keeps the others from it). Crops are of each polyp
for itself: its box with a margin, as square as the image allows.

Which images show one polyp, or one patient, the archive does not say. `sequences` does, a table;
else every image is a sequence of its own, and cross-validation promises too much. Nor has the
archive a split of these images: `split`, a table, gives one; else it is drawn.
"""

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data.annotation_formats.labels import UNKNOWN
from data.common.errors import InputError, some
from data.common.progress import ProgressBar
from data.dataset.audit import Audit
from data.image_classes.coloured_masks import LEAST, MaskContent, MaskObject, read_mask
from data.image_classes.image_table import (
    FRAME,
    SECOND,
    SEQUENCE,
    TIME,
    given_places,
    read_tables,
)
from data.image_classes.polypsset import crop_box
from data.image_classes.writing import (
    LabelledImage,
    check_margin,
    count_classes,
    make_protocols,
    note_margin,
    one_place_each,
    write_dataset,
)
from data.images.completeness import WHOLE_IMAGES, fault_finder
from data.images.image_io import image_size
from data.images.linking import place_image
from data.indexing.cleaning import CROPPED, cropping
from data.public_datasets.layout import matching
from data.public_datasets.preparing import open_archive
from data.splits.patients import NOBODY

NAMES = ("non_neoplastic", "neoplastic")  # the second is the positive class
CLASS_OF = {"green": 0, "red": 1}


def find_neopolyp(folder: Path) -> tuple[dict, dict, dict]:
    """{name: file} of labelled images, of masks and of unlabelled images; raises `InputError`."""
    name, suffix = "([0-9a-f]{32})", r"\.(?:jpeg|jpg|png)"
    patterns = [rf"{part}/{name}{suffix}" for part in ("train", "train_gt", "test")]
    train, masks, test = matching(folder, "train/0081835cf877e004e8bfb905b78a9139.jpeg", *patterns)
    if not masks:
        raise InputError(f"{folder}: no train_gt/ with masks in it; expected BKAI-IGH NeoPolyp")
    return train, masks, test


def prepare_neopolyp(
    root: Path,
    archive: Path,
    crop_margin: float | None,
    sequences: Path | None,
    seed: int,
    audit: Audit,
    split: Path | None = None,
) -> dict:
    """Makes the data set in `root`.

    Args:
      root: dataset directory.
      archive: the zip, which is unpacked to `root/unpacked`; or a folder with its contents.
      crop_margin: None for whole frames, which are linked. Else crops, in `cropped/`, of each
        polyp, with this share of its larger side on every side.
      sequences: a table (image, sequence) of what belongs together of `train/`.
      seed: of what is drawn of the split.
      audit: receives what was found.
      split: a table (image, and split or fold) of `train/`; `sequences` may have these columns,
        too. Without them the split is drawn.

    Returns:
      What `data.image_classes.writing.write_dataset` returns.

    Raises:
      InputError: no NeoPolyp there, nothing usable in it, no such table or one that contradicts
        itself, a margin that is out of range, or `root` was prepared with another one.
    """
    check_margin(root, crop_margin)
    folder = open_archive(archive, root)
    train, masks, test = find_neopolyp(folder)
    if alone := sorted(masks.keys() - train.keys()):
        audit.remark(f"{folder}: {len(alone)} masks without an image: {some(alone)}")
    # A wrong table ends it before the masks.
    named, of_image, are_folds = _sequences(folder, train, sequences, split, audit)
    shown = _read_masks(root, train, masks, audit)
    shown = {name: content for name, content in shown.items() if name in named}
    _remark_objects(folder, shown, audit)
    if crop_margin is None:
        images = [*_frames(root, train, shown, named), *_unlabelled(root, test, audit)]
    else:
        images = _crops(root, train, shown, named, crop_margin)
    labelled = [image for image in images if image.label != UNKNOWN]
    counts = count_classes(labelled, len(NAMES))
    where = {name: place for name, place in of_image.items() if name in counts}
    protocols = make_protocols(root, counts, NAMES, where, are_folds, seed, NOBODY, audit)
    note_margin(root, crop_margin)
    return write_dataset(root, images, NAMES, protocols, audit)


def _read_masks(
    root: Path, train: Mapping[str, Path], masks: Mapping[str, Path], audit: Audit
) -> dict[str, MaskContent]:
    """{name: what the mask of an image shows}, of those images that can be used."""
    root.mkdir(parents=True, exist_ok=True)
    shown, bar = {}, ProgressBar(desc="masks", total=len(train), unit="mask")

    def read(name):
        if name not in masks:
            return f"{train[name]}: no mask in train_gt/; not used"
        try:
            content, size = read_mask(masks[name]), image_size(train[name])[::-1]
        except InputError as error:
            return str(error)
        if content.size != tuple(size):
            (width, height), (mask_width, mask_height) = size, content.size
            return (
                f"{masks[name]}: {mask_width}x{mask_height} pixels, of an image of "
                f"{width}x{height}; expected the same"
            )
        return content

    with fault_finder(root / WHOLE_IMAGES) as find_faults, ThreadPoolExecutor() as pool, bar:
        faults = find_faults(train.values())
        for name, fault, found in zip(train, faults, pool.map(read, train), strict=True):
            bar.update()
            if fault:
                audit.problem(f"{train[name]}: {fault}")
            elif isinstance(found, str):
                audit.problem(found)
            else:
                shown[name] = found
    return shown


def _sequences(
    folder: Path,
    images: Mapping[str, Path],
    sequences: Path | None,
    split: Path | None,
    audit: Audit,
) -> tuple[dict[str, str], dict[str, str], bool]:
    """What tables say of the images with masks.

    Returns:
      {name of an image: its sequence}, of those that have one, and a place where a split is given;
      {sequence: its part of that split, or its fold}; whether these are folds.
    """
    columns = read_tables(sequences, split, folder, list(images.values()), audit)
    if sequences is None:
        audit.remark(
            f"{folder}: no --sequences, every image is a sequence of its own: images of one polyp "
            "or patient can be in training and in test, whose scores are too good then"
        )
    if ordered := {SECOND, TIME, FRAME} & columns.keys():
        audit.remark(
            f"{sequences or split}: {some(sorted(ordered))}: not used; NeoPolyp's images are in no "
            "order"
        )
    places, are_folds = given_places(split or sequences, columns)
    own = {file: name for name, file in images.items()}
    given = columns.get(SEQUENCE, own)
    named, place_of = {}, {}
    for name, file in images.items():
        if file in given and (places is None or file in places):
            named[name] = f"neopolyp_train_{given[file]}"
            if places is not None:
                place_of.setdefault(named[name], set()).add(places[file])
    return named, one_place_each(place_of), are_folds


def _label(objects: tuple[MaskObject, ...]) -> int:
    """The class of a frame: that of all its objects, -1 where they have several, or none."""
    found = {CLASS_OF.get(one.colour, UNKNOWN) for one in objects}
    return found.pop() if len(found) == 1 else UNKNOWN


def _remark_objects(folder: Path, shown: Mapping[str, MaskContent], audit: Audit) -> None:
    """Says how many there are of each kind, and names what has no class."""
    colours = Counter(one.colour for content in shown.values() for one in content.objects)
    labels = Counter(_label(content.objects) for content in shown.values() if content.objects)
    empty = sum(not content.objects for content in shown.values())
    audit.remark(
        f"{folder}: polyps: {colours['red']} neoplastic (red), {colours['green']} not (green); "
        f"frames: {labels[1]} and {labels[0]}, {labels[UNKNOWN]} with several kinds or another "
        f"colour, {empty} without a polyp"
    )
    for colour in sorted(colours.keys() - CLASS_OF.keys()):
        where = [n for n, c in shown.items() if any(one.colour == colour for one in c.objects)]
        audit.remark(
            f"{folder}: {colours[colour]} objects are {colour} ({some(where)}); without a class, "
            "expected red or green"
        )
    if small := sum(content.too_small for content in shown.values()):
        audit.remark(f"{folder}: {small} parts of masks narrower than {LEAST} pixels; not counted")


def _frames(
    root: Path,
    train: Mapping[str, Path],
    shown: Mapping[str, MaskContent],
    named: Mapping[str, str],
) -> list[LabelledImage]:
    """The rows of the whole frames that have masks."""
    images, counted = [], Counter()
    for name, content in shown.items():
        place = Path("images", "train", train[name].name)
        place_image(train[name], root / place)
        counted[named[name]] += 1
        row = named[name], counted[named[name]], _label(content.objects), place.as_posix()
        images.append(LabelledImage(*row))
    return images


def _unlabelled(root: Path, test: Mapping[str, Path], audit: Audit) -> list[LabelledImage]:
    """The rows of the images without masks."""
    images = []
    with fault_finder(root / WHOLE_IMAGES) as find_faults:
        for (name, file), fault in zip(test.items(), find_faults(test.values()), strict=True):
            if fault:
                audit.problem(f"{file}: {fault}")
                continue
            place = Path("images", "test", file.name)
            place_image(file, root / place)
            images.append(LabelledImage(f"neopolyp_test_{name}", 1, UNKNOWN, place.as_posix()))
    return images


def _crops(
    root: Path,
    train: Mapping[str, Path],
    shown: Mapping[str, MaskContent],
    named: Mapping[str, str],
    margin: float,
) -> list[LabelledImage]:
    """Writes a crop of each polyp; returns their rows."""
    wanted = [
        (name, number, one)
        for name, content in shown.items()
        for number, one in enumerate(content.objects, 1)
        if one.colour in CLASS_OF
    ]
    with cropping(root / CROPPED) as crop, ThreadPoolExecutor() as pool:

        def cut(of):
            name, number, one = of
            box = crop_box(one.box, shown[name].size, margin)
            return crop(train[name], box, f"{name}_{number}{train[name].suffix}")

        files = list(pool.map(cut, wanted))
    images, counted = [], Counter()
    for (name, _, one), file in zip(wanted, files, strict=True):
        sequence = named[name]
        counted[sequence] += 1
        place = file.relative_to(root).as_posix()
        images.append(LabelledImage(sequence, counted[sequence], CLASS_OF[one.colour], place))
    return images
