"""Model cards: README.md in a directory with an encoder, as Hugging Face reads it.

Source: huggingface.co/docs/hub/model-cards.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path

from data.storage.paths import AnyPath

CARD = "README.md"
UNKNOWN = "unknown"  # Hugging Face's word for a licence that nobody named
HEAD = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*$", re.DOTALL | re.MULTILINE)
LICENCE = re.compile(r"^license:[ \t]*(['\"]?)([\w.+-]+)\1[ \t]*(?:#.*)?$", re.MULTILINE)
LOADED = {
    "keras": 'from msn.checkpoint import load_encoder\n\nencoder = load_encoder("{name}")\n'
    "tokens, representation = encoder(images)  # RGB 0..255, [batch, height, width, 3]",
    "transformers": "from transformers import ViTMSNModel\n\n"
    'encoder = ViTMSNModel.from_pretrained("{name}")',
}


def write_card(folder: Path, name: str, encoder, origin: Mapping, library: str) -> None:
    """Writes the card of an encoder into its directory.

    Args:
      folder: receives README.md.
      name: of the directory, for its readers.
      encoder: `msn.networks.encoder.Encoder`, or a ResNet.
      origin: where the weights came from, as `msn.encoders.save_encoder` takes it.
      library: whose directory it is, one of LOADED.
    """
    licence = origin.get("licence") or UNKNOWN
    tags = ["endoscopy", "self-supervised-learning", *(["msn"] if "method" in origin else [])]
    head = [f"license: {licence}", f"library_name: {library}"]
    head += ["pipeline_tag: image-feature-extraction", "tags:", *(f"- {tag}" for tag in tags)]
    rows = [f"| {what} | {text} |" for what, text in facts(encoder, origin)]
    lines = ["---", *head, "---", "", f"# {name}", "", "| what | |", "|---|---|", *rows, ""]
    if licence == UNKNOWN:
        lines += ["Before it is given away, whoever owns it has to set `license` above.", ""]
    lines += ["```python", LOADED[library].format(name=name), "```"]
    (folder / CARD).write_text("\n".join(lines) + "\n", encoding="utf-8")


def facts(encoder, origin: Mapping):
    """Yields (what, text) of an encoder and of where it came from."""
    if "method" in origin:
        yield (
            "method",
            f"{origin['method']}, {origin['step']} steps, {origin['network']} network",
        )
    backbone = getattr(encoder, "backbone", None)
    number = sum(math.prod(weight.shape) for weight in encoder.weights) / 1e6
    if backbone is None:
        yield "network", f"{type(encoder).__name__}, {number:.1f} million parameters"
    else:
        yield (
            "network",
            f"Vision Transformer, {backbone.depth} blocks of width {backbone.width}, "
            f"{backbone.num_heads} heads, patches of {backbone.patch_size} pixels, {number:.1f} "
            "million parameters",
        )
    if "data" in origin:
        yield "data", ", ".join(Path(one).name for one in origin["data"])
    if videos := origin.get("videos"):
        yield "videos seen", str(len(videos))
    else:
        yield "videos seen", "not known"
    before = origin.get("converted_from") or origin.get("init", {}).get("path")
    if before:
        yield "weights from", Path(before).name
        yield "their licence", origin.get("licence") or "not known"
    if "teacher" in origin:  # weights that learnt from it may be bound by its licence, too
        yield "teacher", Path(origin["teacher"]["path"]).name
        yield "the teacher's licence", origin["teacher"].get("licence") or "not known"
    size = encoder.image_size
    yield (
        "preprocessing",
        f"whole frames, resized to {size}x{size}, RGB in 0..1 less {numbers(encoder.mean)}, over "
        f"{numbers(encoder.std)}",
    )


def numbers(values) -> str:
    """Three numbers, R, G, B."""
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


def head_of(card: str) -> str:
    """The YAML at the beginning of a card, with the line ends of Unix; "" where there is none."""
    lines = card.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    found = HEAD.match(lines)
    return found[1] if found else ""


def licence_beside(path: AnyPath) -> str | None:
    """The licence that the card in a directory, or beside a file, names."""
    card = (path if path.is_dir() else path.parent) / CARD
    if not card.is_file():
        return None
    found = LICENCE.search(head_of(card.read_text(encoding="utf-8", errors="replace")))
    return found[2] if found and found[2] != UNKNOWN else None
