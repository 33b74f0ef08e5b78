"""Model cards: README.md in a directory with an encoder, as Hugging Face reads it.

They name no directory of this machine, as such a name may tell whose data is in it: a card calls an
encoder by what it is, and other encoders by their addresses on the Hub alone.

Source: huggingface.co/docs/hub/model-cards.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from data.storage.cards import CARD, HEAD, UNKNOWN, cell, head, licence_in, said_of, table
from data.storage.paths import AnyPath

VIDEOS = "pretraining_videos"  # in config.json of a directory of transformers: their names
TIMM = "hf-hub:"
ADDRESS = re.compile(rf"(?:hf://|{TIMM})([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
TITLE, PLACE, ELSEWHERE = "Encoder for endoscopic frames", "path/to/this/folder", "another encoder"
LOADED = {
    "keras": f'from msn.checkpoint import load_encoder\n\nencoder = load_encoder("{PLACE}")\n'
    "tokens, representation = encoder(images)  # RGB 0..255, [batch, height, width, 3]",
    "transformers": "from transformers import ViTMSNModel\n\n"
    f'encoder = ViTMSNModel.from_pretrained("{PLACE}")',
}
# What of a card is about a place: its title, what opens it, and the rows that name other encoders.
_TITLE = re.compile(r"^# .*$", re.MULTILINE)
_OPENED = re.compile(r'\b(load_encoder|from_pretrained)\(".*?"\)')
_OTHER = re.compile(r"^(\| (?:weights from|teacher) \| )(.*?)( \|)$", re.MULTILINE)
# Labels by which the probes of a run are told; what users call theirs may tell whose they are.
TASKS = ("phases", "classes", "tools")
_VOTED = re.compile(r"(?<=(?<!\\)\| )(?:\\\||[^|\n])* by the vote of \d.*", re.MULTILINE)

SCORES = (
    "What an encoder is worth shows in an experiment, whose model/ has a card with scores on other "
    "videos."
)
LIMITS = (
    "- For research: not a medical device, and not tested as one.",
    "- Frames of other cameras, hospitals and kinds of operations than it was trained on may be "
    "represented worse.",
    "- Scores on videos that it has seen, even without their labels, are too good. Their names "
    "are not in this card, but may be in the files beside it.",
)
CITATION = (
    "CITATION.cff of this project, and of MSN: Assran et al., Masked Siamese Networks for "
    "Label-Efficient Learning, ECCV 2022, https://arxiv.org/abs/2204.07141. Weights that come from "
    "elsewhere: what their authors ask for."
)


def write_card(folder: Path, encoder, origin: Mapping, library: str) -> None:
    """Writes the card of an encoder into its directory.

    Args:
      folder: receives README.md.
      encoder: `msn.networks.encoder.Encoder`, a ResNet, or a frozen one.
      origin: where the weights came from, as `msn.encoders.save_encoder` takes it.
      library: whose directory it is, one of LOADED.
    """
    licence = origin.get("licence") or UNKNOWN
    values = {
        "license": licence,
        "library_name": library,
        "pipeline_tag": "image-feature-extraction",
        "tags": ["endoscopy", "self-supervised-learning", *(["msn"] if "method" in origin else [])],
    }
    lines = [head(values), f"# {TITLE}", "", *table(facts(encoder, origin)), ""]
    lines += ["```python", LOADED[library], "```", ""]
    lines += [
        "## Licence",
        "",
        said_of(licence),
        "",
        "## Scores",
        "",
        *_scores(origin),
        "## Limits",
        "",
    ]
    lines += [*LIMITS, "", "## Citation", "", CITATION]
    (folder / CARD).write_text("\n".join(lines) + "\n", encoding="utf-8")


def facts(encoder, origin: Mapping):
    """Yields (what, text) of an encoder and of where it came from."""
    if "method" in origin:
        yield (
            "method",
            f"{origin['method']}, {origin['step']} steps, {origin['network']} network",
        )
    backbone, kind = getattr(encoder, "backbone", None), getattr(encoder, "kind", "")
    number = sum(math.prod(weight.shape) for weight in encoder.weights) / 1e6
    if kind:
        yield "network", f"in {kind}, frozen; representations of width {encoder.width}"
    elif backbone is None:
        yield "network", f"{type(encoder).__name__}, {number:.1f} million parameters"
    else:
        yield (
            "network",
            f"Vision Transformer, {backbone.depth} blocks of width {backbone.width}, "
            f"{backbone.num_heads} heads, patches of {backbone.patch_size} pixels, {number:.1f} "
            "million parameters",
        )
    if "data" in origin:
        number = len(origin["data"])  # the name of a hospital's folder may be its own
        yield "data", f"{number} dataset{'' if number == 1 else 's'} of endoscopic frames"
    if videos := origin.get("videos"):
        yield "videos seen", str(len(videos))
    else:
        yield "videos seen", "not known"
    yield "patients, hospitals", "not known"
    # Of a run of ours, what it began from; a conversion alone makes nothing else of its weights.
    is_run = "method" in origin
    before = origin.get("init", {}).get("path") if is_run else origin.get("converted_from")
    if before:
        yield "weights from", called(before)
        yield "their licence", origin.get("licence") or "not known"
    if "teacher" in origin:  # weights that learnt from it may be bound by its licence, too
        yield "teacher", called(origin["teacher"]["path"])
        yield "the teacher's licence", origin["teacher"].get("licence") or "not known"
    resized = f"whole frames, resized to {encoder.image_size}x{encoder.image_size}"
    if kind:
        yield "preprocessing", f"{resized}; the rest is in {kind} or beside it"
    else:
        colours = f"RGB in 0..1 less {numbers(encoder.mean)}, over {numbers(encoder.std)}"
        yield "preprocessing", f"{resized}, {colours}"


def _scores(origin: Mapping) -> Iterator[str]:
    """Lines: a table of what the probes of a run measured, if any, and what is no score."""
    if told := origin.get("scores"):
        yield "Of probes during pre-training:"
        yield ""
        yield "| score | value | after step | protocol |"
        yield "|---|---|---|---|"
        for one in told:
            protocol = cell(without_label(one["protocol"]))
            values = (one["score"], f"{one['value']:.3f}", one["step"], protocol)
            yield f"| {' | '.join(map(str, values))} |"
        yield ""
    yield SCORES
    yield ""


def without_label(protocol: str) -> str:
    """What the protocol of a probe says, without what users call their labels."""
    label, by, rest = protocol.rpartition(" by the vote of ")
    return protocol if label in ("", *TASKS) else f"labels of the run{by}{rest}"


def called(path: str) -> str:
    """What a card calls the encoder at a path: its address on the Hub, or nothing that tells."""
    return path if ADDRESS.fullmatch(path) else ELSEWHERE


def card_of_repository(card: str, repository: str) -> str:
    """A card for the repository owner/name that its directory goes to.

    Cards of earlier versions, which named the directories of encoders and the labels of probes,
    name them no more.
    """

    def opened(found: re.Match) -> str:
        place = f"hf://{repository}" if found[1] == "load_encoder" else repository
        return f'{found[1]}("{place}")'

    values = HEAD.match(card)
    begin = values.end() if values else 0  # its comments are no titles
    text = _TITLE.sub(f"# {repository.rpartition('/')[2]}", card[begin:], count=1)
    text = _OTHER.sub(lambda found: found[1] + called(found[2]) + found[3], text)
    text = _VOTED.sub(lambda found: without_label(found[0]), text)
    return card[:begin] + _OPENED.sub(opened, text)


def numbers(values) -> str:
    """Three numbers, R, G, B."""
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


def licence_beside(path: AnyPath) -> str | None:
    """The licence that the card in a directory, or beside a file, names."""
    card = (path if path.is_dir() else path.parent) / CARD
    if not card.is_file():
        return None
    return licence_in(card.read_text(encoding="utf-8", errors="replace"))
