"""Cards: README.md in a directory, as Hugging Face reads it; and that of a dataset.

A card counts videos and patients, and names none: it is what is shown to others.

Source: huggingface.co/docs/hub/datasets-cards, /model-cards.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from data.dataset.audit import Audit
from data.dataset.classes import frame_rate, has_times, read_classes
from data.dataset.overlaps import SYNTHETIC
from data.dataset.patients import SAID_BY, read_patients
from data.dataset.splits import PARTS
from data.storage.paths import AnyPath
from data.storage.whole import whole_file

CARD = "README.md"
UNKNOWN = "unknown"  # Hugging Face's word for a licence that nobody named
OURS = "<!-- prepare.py writes this card anew; without this line it is yours, and stays -->"
HEAD = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*$", re.DOTALL | re.MULTILINE)
LICENCE = re.compile(r"^license:[ \t]*(['\"]?)([\w.+-]+)\1[ \t]*(?:#.*)?$", re.MULTILINE)
_PLAIN = re.compile(r"[A-Za-z][\w-]*(?:\.[\w-]+)*")  # what YAML reads as the text that it is
_NO_TEXT = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
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
    known = f"{len(patients.groups)}, known {SAID_BY[patients.by]}" if patients.by else "not known"
    yield "videos" if timed else "sequences", str(len(audit.videos))
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
    lines = ["| split | part | videos or sequences | frames | labelled |", "|---|---|---|---|---|"]
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


def head(values: Mapping[str, Any]) -> str:
    """The YAML at the beginning of a card, between its dashes.

    Args:
      values: texts, lists of texts, and what else JSON can hold, which is YAML, too.
    """
    lines = ["---"]
    for key, value in values.items():
        if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
            lines += [f"{key}:", *(f"- {_scalar(one)}" for one in value)]
        else:
            lines.append(f"{key}: {_scalar(value)}")
    return "\n".join([*lines, "---", ""])


def _scalar(value: Any) -> str:
    is_plain = isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NO_TEXT
    return value if is_plain else json.dumps(value, ensure_ascii=False)


def table(facts: Iterable[tuple[str, str]]) -> list[str]:
    """The lines of a table of two columns in Markdown."""
    return ["| what | |", "|---|---|", *(f"| {what} | {cell(text)} |" for what, text in facts)]


def cell(text: str) -> str:
    """A text as a cell of a table in Markdown holds it."""
    return " ".join(text.split()).replace("|", "\\|")


def said_of(licence: str) -> str:
    """The paragraph on the licence."""
    if licence == UNKNOWN:
        return "Before it is given away, whoever owns it has to set `license` above."
    return f"`{licence}`."


def head_of(card: str) -> str:
    """The YAML at the beginning of a card, with the line ends of Unix; "" where there is none."""
    lines = card.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    found = HEAD.match(lines)
    return found[1] if found else ""


def licence_in(card: str) -> str | None:
    """The licence that the head of a card names."""
    found = LICENCE.search(head_of(card))
    return found[2] if found and found[2] != UNKNOWN else None
