"""comparison.html: the scores of encoders, what they cost, and how each number came about."""

import uuid
from collections.abc import Sequence
from html import escape
from pathlib import Path

from data.storage.whole import whole_file
from down_stream.comparison.pictures import learning_curves, overview
from down_stream.comparison.scores import WAYS
from down_stream.report.page import Section, pairs, table, warnings, write_report
from down_stream.report.wording import percent, points, say_difference

SCORES = {"f1": "macro-F1", "average_precision": "mean average precision"}


def write_page(path: Path, summary: dict) -> None:
    """Writes comparison.html and its pictures; `summary` is what comparison.json holds."""
    title = f"Encoders compared: {summary['task']}"
    most = _of_most_labels(summary)
    picture = overview(most, _title(summary))
    sections = [
        warnings("Warnings", summary["warnings"]),
        Section(
            "At a glance",
            text=f"{_labels(summary)}; the line is the 95% interval over the test "
            f"{summary['drawn']}.",
            picture=picture,
            files={"comparison.png": picture},
        ),
        *(_scores(summary, way) for way in WAYS if any(row["way"] == way for row in most)),
        _curves(summary),
        _costs(summary),
        _seen(summary),
        _failed(summary),
        _skipped(summary),
        _commands(summary),
    ]
    write_report(path, title, sections, _subtitle(summary))


def mark_old(path: Path, why: str) -> None:
    """Says on a page that is there that it is not of now; the next one takes its place."""
    if not path.is_file():
        return
    page = path.read_text(encoding="utf-8")
    if '<p class="old"' in page:
        return
    said = f'<p class="old" role="status"><strong>Out of date: {escape(why)}.</strong></p>'
    with whole_file(path, writer=uuid.uuid4().hex) as side:  # as other shards do at the same time
        side.write_text(page.replace("</h1>", f"</h1>\n{said}", 1), encoding="utf-8")


def _labels(summary: dict) -> str:
    """How much is labelled at the most, in words."""
    if summary["folds"]:
        return (
            f"In {summary['folds']} folds of all {summary['test']['videos']} {summary['counted']}, "
            f"each tested once by a classifier that was trained on {summary['labelled']} of the "
            "others (the mean over the folds)"
        )
    number, counted = summary["labelled"], summary["counted"]
    if number == 1:
        return f"With the one labelled training {counted.removesuffix('s')}"
    return f"With all {number} labelled training {counted}"


def _of_most_labels(summary: dict) -> list[dict]:
    return [row for row in summary["rows"] if row["videos"] == summary["labelled"]]


def text_table(summary: dict) -> str:
    """What comparison.json says, for people: a line for each row with the most labels."""
    header = ("", "encoder", "features", _title(summary), f"to {summary['baseline']}")
    lines = [header] + [
        (WAYS[row["way"]], row["encoder"], row["kind"], _score(row), _difference(row))
        for row in _of_most_labels(summary)
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    told = [f"failed: {text}" for text in summary["failed"]]
    told += [f"warning: {text}" for text in summary["warnings"]]
    return "\n".join(shown + told)


def _title(summary: dict) -> str:
    return SCORES[summary["score"][1]]


def _subtitle(summary: dict) -> str:
    test, counted = summary["test"], summary["counted"]
    return (
        f"{_title(summary)} by the protocol {summary['score'][0]} on {test['videos']} test "
        f"{counted}, {test['frames']:,} frames. Intervals are of 95%, by bootstrap over the test "
        f"{summary['drawn']}; differences to {summary['baseline']} are on the same draws, so that "
        f"one without 0 in its interval is not of these {counted} alone."
    )


def _scores(summary: dict, way: str) -> Section:
    rows = [row for row in summary["rows"] if row["way"] == way]
    title, baseline = _title(summary), summary["baseline"]
    header = (
        "Encoder",
        "Features",
        f"Labelled {summary['counted']}",
        f"{title}, %",
        "95% interval",
    )
    header += ("std over seeds", "Seeds", f"Difference to {baseline}", "95% interval")
    header += (f"Features of {baseline}",)
    lines = [
        (
            *(row["encoder"], row["kind"], str(row["videos"]), _number(row["score"])),
            *(_range(row["interval"]), _number(row["std"]), str(row["seeds"])),
            *_difference_cells(row),
            row["baseline_kind"] or "-",
        )
        for row in rows
    ]
    reasons = {
        f"{row['encoder']}: no difference to {baseline}: {row['why']}" for row in rows if row["why"]
    }
    notes = "".join(f'<p class="soft">{escape(text)}</p>' for text in sorted(reasons))
    return Section(WAYS[way], table(header, lines) + notes)


def _curves(summary: dict) -> Section | None:
    if len({row["videos"] for row in summary["rows"]}) < 2:
        return None
    figure = learning_curves(summary["rows"], _title(summary), summary["counted"])
    return Section(
        "Fewer labels",
        text="Mean over the seeds; the bars are one standard deviation of them. A seed draws the "
        "labelled videos, smaller parts out of larger ones, the same for all encoders.",
        picture=figure,
        files={"comparison_labels.png": figure},
    )


def _costs(summary: dict) -> Section:
    described = summary["encoders"]
    header = ("Encoder", "What it is", "Image", "Patch", "Parameters, million", "GFLOP a frame")
    header += ("Frames per second",)
    lines = [
        (
            *(name, one["kind"], _or(one["network"]["image_size"], "{} px")),
            *(_or(one["network"]["patch_size"], "{} px"), _or(_millions(one), "{:.2f}")),
            *(_or(one["gflop"], "{:.3g}"), _or(one["frames_per_second"], "{:,.0f}")),
        )
        for name, one in described.items()
    ]
    devices = ", ".join(dict.fromkeys(one["device"] for one in described.values()))
    return Section(
        "What they cost",
        table(header, lines),
        "Both are of one function: from a frame of the encoder's size to its features (of the "
        "encoder's first way), with preprocessing and pooling, without classifier and without "
        f"attentive pooling. Frames per second are measured here ({devices}), in batches, whatever "
        "else the machine was doing. GFLOP as TensorFlow's profiler counts them, two for a "
        "multiplication with its addition; unknown for ONNX files and SavedModels.",
    )


def _seen(summary: dict) -> Section:
    parts = []
    for name, one in summary["encoders"].items():
        facts = {"From": one["path"], "Has seen": one["seen"]}
        if one["features"]:
            facts["Usual features"] = one["features"]
        if one["leaks"]:
            facts["Leakage"] = "; ".join(one["leaks"])
        parts.append(f"<h3>{escape(name)}</h3>{pairs(facts)}")
    return Section(
        "What they have seen",
        "".join(parts),
        "Scores of an encoder that has seen test videos, even without their labels, are too good.",
    )


def _failed(summary: dict) -> Section | None:
    if not summary["failed"]:
        return None
    rows = [tuple(text.split(": ", 1)) for text in summary["failed"]]
    return Section(
        "Failed",
        table(("Cell", "Why"), rows),
        "They are missing in the scores above; the same command tries them again.",
    )


def _skipped(summary: dict) -> Section | None:
    if not summary["skipped"]:
        return None
    rows = [(one["encoder"], one["what"], one["why"]) for one in summary["skipped"]]
    return Section("Not compared", table(("Encoder", "How", "Why"), rows))


def _commands(summary: dict) -> Section:
    items = "".join(
        f"<dt>{escape(cell['name'])}</dt><dd><code>{escape(cell['command'])}</code></dd>"
        for cell in summary["cells"]
    )
    count = len(summary["cells"])
    return Section(
        "The command of each cell",
        f"<details><summary>{count} commands</summary><dl>{items}</dl></details>",
        "Each runs that experiment alone, in the project's folder; its report is in its workdir.",
    )


def _millions(one: dict) -> float | None:
    return one["parameters"] and one["parameters"] / 1e6


def _or(value, shape: str) -> str:
    return "-" if value is None else shape.format(value)


def _number(value: float | None) -> str:
    return _or(value, "{:.1f}") if value is None else f"{100 * value:.1f}"


def _difference_cells(row: dict) -> tuple[str, str]:
    """The difference to the baseline, and its interval."""
    return _difference(row).partition(" [")[0], _range(row["difference_interval"], "+")


def _range(interval: Sequence[float | None] | None, sign: str = "") -> str:
    if interval is None or interval[0] is None:
        return "-"
    return " to ".join(points(value, sign) for value in interval)


def _score(row: dict) -> str:
    interval = _range(row["interval"])
    return percent(row["score"]) + ("" if interval == "-" else f" [{interval}]")


def _difference(row: dict) -> str:
    if row["difference"] is None:
        return "-"
    interval = row["difference_interval"]
    is_known = interval is not None and interval[0] is not None
    return say_difference(row["difference"], interval if is_known else None, " to ")
