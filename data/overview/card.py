"""The card of a dataset: it counts videos and patients, and names none, as others will see it."""

from collections.abc import Iterable, Mapping

from data.dataset.audit import Audit
from data.dataset.classes import frame_rate, has_times, read_classes
from data.splits.overlaps import SYNTHETIC
from data.splits.parts import PARTS
from data.splits.patients import counted, read_patients
from data.storage.cards import CARD, UNKNOWN, cell, head, licence_in, said_of, table
from data.storage.paths import AnyPath
from data.storage.whole import whole_file

OURS = "<!-- prepare.py writes this card anew; without this line it is yours, and stays -->"
# Hugging Face's sizes of datasets: up to so many rows.
_SIZES = {10**3: "n<1K", 10**4: "1K<n<10K", 10**5: "10K<n<100K", 10**6: "100K<n<1M"}
_SIZES |= {10**7: "1M<n<10M", 10**8: "10M<n<100M", 10**9: "100M<n<1B"}


def write_dataset_card(root: AnyPath, audit: Audit, manifest: Mapping) -> None:
    """Writes the card of a dataset, unless a card is there that somebody else wrote.

    A licence that was set in the card before is kept.

    Args:
      root: dataset directory.
      audit: what was found in it.
      manifest: the splits, as splits.json has them.
    """
    path = root / CARD
    before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else OURS
    if OURS not in before:
        return
    licence = licence_in(before) or UNKNOWN
    is_labelled, is_rendered = audit.total("labelled") > 0, (root / SYNTHETIC).is_file()
    frames = audit.total("frames")
    size = next((word for most, word in _SIZES.items() if frames < most), "n>1B")
    values = {
        "license": licence,
        "pretty_name": "Rendered endoscopic frames" if is_rendered else "Endoscopic frames",
        "task_categories": ["image-classification" if is_labelled else "image-feature-extraction"],
        "size_categories": [size],
        "tags": ["endoscopy", "medical", *(["synthetic"] if is_rendered else [])],
    }
    lines = [head(values), OURS, "", f"# {values['pretty_name']}", ""]
    lines += table(_facts(root, audit, is_rendered))
    lines += ["", "## Splits", "", *_splits(manifest), "", "## Licence", "", said_of(licence)]
    lines += ["", "## Limits", "", *_limits(audit, is_rendered), "", "## Citation", ""]
    lines += ["What their publisher asks for, where the videos are published ones."]
    with whole_file(path) as side:
        side.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _facts(root: AnyPath, audit: Audit, is_rendered: bool) -> Iterable[tuple[str, str]]:
    """Yields (what, text) of a dataset."""
    patients = read_patients(root).group(audit.videos)
    classes = read_classes(root)
    timed = not classes.classes or has_times(root)  # else still images
    noun = "video" if timed else "sequence"
    known = "not known"
    if patients.by:
        known = counted(patients.known, patients.by, len(patients.unknown), noun)
    yield f"{noun}s", str(len(audit.videos))
    yield "patients", "none: the videos are rendered" if is_rendered else known
    yield "hospitals", "none" if is_rendered else "not known"
    labelled = audit.total("labelled")
    yield "frames", f"{audit.total('frames')}, {labelled} of them labelled"
    if audit.cleaned():
        yield "frames for pre-training", str(audit.total("pretraining"))
    if timed:
        yield "rate", f"{frame_rate(root):g} frames a second"
    if sizes := audit.sizes.most_common(3):
        more = ", and others" if len(audit.sizes) > len(sizes) else ""
        yield "sizes", ", ".join(f"{w}x{h} pixels" for (w, h), _ in sizes) + more
    if labelled and classes.phases:
        yield "phases", ", ".join(classes.phases)
    for group, names in classes.multi_label.items():
        yield group, ", ".join(names)
    if classes.classes:
        yield "classes", ", ".join(classes.classes)
    yield "files", "index.parquet has a row for each frame: video, number, labels, file"


def _splits(manifest: Mapping) -> list[str]:
    """Tables of how many videos and frames each part of each split has."""
    parts = manifest["protocols"][manifest["default"]]
    labelled = "with a phase" if "phases" in parts["train"] else "labelled"
    head = f"| split | part | videos or sequences | frames | {labelled} |"
    lines = [head, "|---|---|---|---|---|"]
    for name, parts in manifest["protocols"].items():
        for part in PARTS:
            told = parts[part]
            counts = f"{len(told['videos'])} | {told['frames']} | {told['labelled']}"
            lines.append(f"| {cell(name)} | {part} | {counts} |")
    return [*lines, "", "No operation is in two parts of a split."]


def _limits(audit: Audit, is_rendered: bool) -> list[str]:
    lines = []
    if is_rendered:
        lines.append("- Rendered pictures: they show that software works, and nothing of patients.")
    if audit.problems:
        lines.append(f"- {len(audit.problems)} inputs, or parts of them, could not be used.")
    if audit.remarks:
        lines.append(f"- {len(audit.remarks)} remarks about gaps and the like: audit.json.")
    return [
        *lines,
        "- Frames may show what identifies somebody: text that is burnt in, or the view outside of "
        "the body. Nothing here has looked for that.",
        "- Names of videos and patients, which may tell who they are, are not in this card, but in "
        "the files beside it.",
    ]
