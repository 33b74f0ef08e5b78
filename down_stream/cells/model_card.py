"""The card of a model that an experiment leaves: README.md in model/, with its scores.

It counts videos and patients, and names none; nor does it name paths of this machine.

Source: huggingface.co/docs/hub/model-cards, and its `model-index` for scores.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from data.splits.overlaps import overlaps
from data.splits.parts import PARTS
from data.storage.cards import CARD, UNKNOWN, cell, head, said_of, table
from down_stream.report.wording import drawn_cases, percent
from msn.formats.model_card import CITATION, LIMITS

# The scores that Hugging Face knows, by its names; `model-index` has these alone.
METRICS = {"accuracy": "accuracy", "f1": "f1", "precision": "precision", "recall": "recall"}
METRICS |= {"macro_f1": "f1", "auc": "roc_auc", "average_precision": "average_precision"}
LOADED = """```python
from pathlib import Path

from down_stream.classifiers.frame_model import load_frame_model

model = load_frame_model(Path("model"))
```"""

# What names whom: those files alone, of all that an experiment leaves in model/.
TELLING = (
    "- `frame_model.json` and `encoder/encoder.json` beside this card name videos and folders, "
    "under `source`: replace it by `{}` in both before you give the directory away."
)


def write_model_card(folder: Path, results: Mapping, licence: str | None) -> None:
    """Writes the card of a model into its directory.

    Args:
      folder: receives README.md.
      results: of the experiment, as results.json has them.
      licence: of the encoder that the model was made from; None where it is not known.
    """
    title = f"Model for {results['task']} in endoscopic frames"
    scores = list(scores_of(results))
    known = overlaps(results["videos"]["test"], results["encoder_seen"]["videos"])[0]
    values = {
        "license": licence or UNKNOWN,
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["endoscopy", "medical"],
        "metrics": sorted({METRICS[name] for _, _, name, _, _ in scores if name in METRICS}),
        "model-index": [{"name": title, "results": _indexed(results, scores)}],
    }
    if known or not values["metrics"]:  # scores that promise too much enter no ranking
        del values["metrics"], values["model-index"]
    lines = [head(values), f"# {title}", "", *table(_facts(results)), "", LOADED, ""]
    lines += ["## Scores", "", *_score_table(results, scores), "", "## Licence", ""]
    lines += [said_of(licence or UNKNOWN), "", "## Limits", "", *LIMITS]
    if known:
        lines.append(f"- Pre-training has seen {len(known)} of the test videos.")
    lines.append(TELLING)
    if results["warnings"]:
        number = len(results["warnings"])
        lines.append(
            f"- The experiment has {number} remark{'' if number == 1 else 's'} on its data and its "
            "scores: report.html and results.json beside model/."
        )
    lines += ["", "## Citation", "", CITATION]
    (folder / CARD).write_text("\n".join(lines) + "\n", encoding="utf-8")


def scores_of(results: Mapping) -> Iterator[tuple[str, str, str, float, list | None]]:
    """Yields (model, protocol, score, value, its interval) of all that are defined."""
    models = {results["mode"]: results["metrics"]}
    models |= {name: told["metrics"] for name, told in results["temporal"].items()}
    for model, protocols in models.items():
        for protocol, scores in protocols.items():
            for name, interval in scores["interval"].items():
                if scores[name] is not None:
                    yield model, protocol, name, scores[name], interval


def _indexed(results: Mapping, scores: Iterable) -> list[dict]:
    """`results` of a model-index."""
    videos = len(results["videos"]["test"])
    dataset = {"type": "endoscopy", "name": f"{videos} test videos", "split": "test"}
    return [
        {
            "task": {"type": "image-classification", "name": results["task"]},
            "dataset": dataset,
            "metrics": [
                {
                    "type": METRICS[name],
                    "value": round(value, 4),
                    "name": f"{name}, {model}, protocol {protocol}",
                }
            ],
        }
        for model, protocol, name, value, _ in scores
        if name in METRICS
    ]


def _facts(results: Mapping) -> Iterator[tuple[str, str]]:
    """Yields (what, text) of the model and of what it was made from."""
    yield "task", f"{results['task']}: {', '.join(results['classes'])}"
    how = (
        "encoder and classifier are trained" if results["mode"] == "finetune" else "frozen encoder"
    )
    yield "how", f"{results['mode']}: {how}"
    if results["temporal"]:
        yield "over time", ", ".join(results["temporal"])
    yield "features", str(results["features"])
    for part in PARTS:
        number = len(results["videos"][part])
        yield part, f"{number} video{'' if number == 1 else 's'}, {results['frames'][part]} frames"
    known = drawn_cases(results) if results["patients"]["by"] else "not known"
    yield "patients in test", known
    yield "hospitals", "not known"
    seen = results["encoder_seen"]
    all_of_them = "" if seen["is_all"] else ", as far as it is known"
    yield "videos that the encoder has seen", f"{len(seen['videos'])}{all_of_them}"
    network = results["network"]
    yield "preprocessing", f"whole frames, resized to {network['image_size']} pixels; see encoder/"


def _score_table(results: Mapping, scores: Iterable) -> Iterator[str]:
    """Lines: a table, and the rule of each protocol."""
    yield "| model | protocol | score | value | 95 % interval |"
    yield "|---|---|---|---|---|"
    for model, protocol, name, value, interval in scores:
        ends = interval if interval and None not in interval else None
        of = f"{percent(ends[0])} to {percent(ends[1])}" if ends else "-"
        yield f"| {model} | {cell(protocol)} | {name} | {percent(value)} | {of} |"
    for protocol, told in results["metrics"].items():
        if isinstance(rule := told.get("rule"), str):
            yield ""
            yield f"**{protocol}**: {cell(rule)}"
