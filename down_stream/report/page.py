"""The report of an experiment: one HTML file that needs nothing else, no network and no script.

A report is a list of sections, and each task chooses its own (`down_stream.report.tasks`). Here are
the page and the sections of words and numbers; the pictures (`down_stream.report.timelines` and
`plots`) become PNG files beside the page, too. All text is escaped where it becomes HTML.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from data.common.configurations import flatten
from data.storage.whole import whole_file
from down_stream.report.figures import colour_of, inline_svg, save_png
from down_stream.report.wording import drawn_cases, duration, percent, unit_of

_STYLE = Path(__file__).with_name("report.css")

# What a score says, for readers who do not know it by heart.
SCORES = {
    "accuracy": "share of the frames that are right",
    "precision": "of the frames that were given a class, the share that has it",
    "recall": "of the frames that have a class, the share that was given it",
    "f1": "harmonic mean of precision and recall",
    "jaccard": "frames of a class that were found, of those in the truth or the prediction",
    "edit": "likeness of two sequences of phases, whatever their durations",
    "macro": "mean over the classes, each counting the same",
    "weighted": "mean over the classes, each counting as often as the truth has it",
    "balanced_accuracy": "mean recall of the classes",
    "auc": "area under the ROC curve: how often the right one of two cases has the higher "
    "probability",
    "sensitivity": "recall of the positive class, which the rule names",
    "specificity": "recall of the other class, the negative one",
    "average_precision": "area under the curve of precision over recall",
}


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
      title: its heading, as plain text.
      html: what it shows, as HTML.
      text: what is to be seen, as plain text.
      picture: what it shows, as a figure.
      files: name -> figure of the PNG files that go beside the page.
    """

    title: str
    html: str = ""
    text: str = ""
    picture: Figure | None = None
    files: Mapping[str, Figure] = field(default_factory=dict)


def drawn(title: str, picture: Figure | None, file: str, text: str) -> Section | None:
    """A section with a picture that is in a PNG file, too; None where nothing is drawn."""
    return picture and Section(title, text=text, picture=picture, files={file: picture})


def write_report(
    path: str | Path, title: str, sections: Sequence[Section | None], subtitle: str = ""
) -> None:
    """Writes one self-contained HTML file, and its pictures as PNG files beside it.

    The same sections give the same bytes.

    Args:
      path: of the file; one that is there is replaced once the new one is complete.
      title, subtitle: plain text.
      sections: from top to bottom; None for a section that has nothing to show.
    """
    path = Path(path)
    sections = [section for section in sections if section is not None]
    links = "".join(
        f'<li><a href="#part{number}">{escape(section.title)}</a></li>'
        for number, section in enumerate(sections)
    )
    body = "\n".join(_section(number, section) for number, section in enumerate(sections))
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
{_STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p class="soft">{escape(subtitle)}</p>
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main>
{body}
</main>
</body>
</html>
"""
    for section in sections:
        for name, figure in section.files.items():
            save_png(figure, path.with_name(name))
    with whole_file(path) as side:
        side.write_text(page, encoding="utf-8")


def warnings(title: str, lines: Sequence[str]) -> Section | None:
    """What a reader must know before believing what is shown; None if there is nothing."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return Section(title, f'<ul class="warnings">{items}</ul>') if items else None


def summary(results: dict, headline: Mapping[str, tuple[str, str]]) -> Section:
    """The numbers that matter, large, and what was fitted on what.

    Args:
      results: what results.json holds.
      headline: title -> (protocol, score) of each number.
    """
    noun = unit_of(results)
    tiles = "".join(_tile(title, results["metrics"][p], s) for title, (p, s) in headline.items())
    names = dict.fromkeys(f"the protocol {protocol}" for protocol, _ in headline.values())
    facts = {
        "Encoder": results["encoder"],
        "Mode": results["mode"],
        **{
            f"Data: {name}": f"{_number(len(videos), noun)}, "
            + _number(results["frames"][name], "frame")
            for name, videos in results["videos"].items()
        },
        "Time": f"{duration(results['seconds'])}, of which {duration(results['seconds_to_fit'])} "
        "to fit",
    }
    if results.get("positive_class"):
        facts["Positive class"] = f"{results['positive_class']}: sensitivity is its recall"
    if results["best_epoch"] is not None:
        epochs = max((len(values) for values in results["history"].values()), default=0)
        by = (results.get("epoch_chosen_by") or "").replace("_", " ")
        chosen = f", by {by} on the validation {noun}s" if by else ""
        facts["Epoch tested"] = f"{results['best_epoch'] + 1} of {epochs}{chosen}"
    return Section(
        "Summary",
        f'<div class="tiles">{tiles}</div>{pairs(facts)}',
        f"On the test {noun}s, by {' and '.join(names)}; in brackets the 95% confidence interval "
        f"(bootstrap over {drawn_cases(results)}).",
    )


def protocols(results: dict) -> Section:
    """Every score by every protocol, with the protocol's rule, and what the scores are."""
    tables, mentioned = [], set()
    for protocol, found in results["metrics"].items():
        mentioned |= set(found["interval"])
        rows = [
            (
                _words(score),
                _percent(found[score]),
                _percent(found.get("std", {}).get(score)),
                _range(found["interval"][score]),
            )
            for score in found["interval"]
        ]
        tables.append(
            f'<section class="protocol"><h3>{escape(protocol)}</h3><p class="rule">'
            f"{escape(found['rule'])}</p>"
            f"{table(('Score', '%', 'std', '95% interval'), rows)}</section>"
        )
    words = {part for score in mentioned for part in (score, *score.split("_"))}
    glossary = {_words(name): meaning for name, meaning in SCORES.items() if name in words}
    return Section(
        "All scores, by protocol",
        f'<div class="protocols">{"".join(tables)}</div><h3>What the scores are</h3>'
        + pairs(glossary),
        "Papers average differently; a number can be set beside that of a paper only where both "
        "follow the same protocol.",
    )


def settings(results: dict) -> Section:
    """The configuration, one line per key."""
    shown = {}
    for key, value in flatten(results["config"]).items():
        joined = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        shown[key] = joined or "-"
    return Section("Settings", pairs(shown))


# Parts of a page, for other sections, too.


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of plain text, the first column being the rows' headings."""
    head = "".join(
        f'<th scope="col">{escape(name)}</th>' if name else "<td></td>" for name in header
    )
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(value)}</td>" for value in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def pairs(facts: dict[str, str]) -> str:
    """A list of names and what they are, of plain text."""
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts.items()
    )
    return f'<dl class="pairs">{items}</dl>'


def swatch(number: int) -> str:
    """A little square in the colour of a class, which is named beside it."""
    return f'<span class="swatch" style="background:{colour_of(number)}"></span>'


_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def _section(number: int, section: Section) -> str:
    text = f'<p class="soft">{escape(section.text)}</p>' if section.text else ""
    picture = ""
    if section.picture is not None:
        svg = inline_svg(section.picture, section.title, f"p{number}")
        picture = (
            f'<div class="scroll picture" tabindex="0" role="region" '
            f'aria-label="{escape(section.title)}">{svg}</div>'
        )
    return (
        f'<section id="part{number}" aria-labelledby="title{number}">'
        f'<h2 id="title{number}">{escape(section.title)}</h2>{text}\n'
        f"{picture}{section.html}\n</section>"
    )


def _tile(title: str, found: dict, score: str) -> str:
    deviation = found.get("std", {}).get(score)
    interval = found["interval"].get(score, [None])  # a task of one's own may have none
    notes = [] if interval[0] is None else [f"[{_range(interval)}]"]
    notes += [] if deviation is None else [f"std {_percent(deviation)}"]
    spread = "".join(f'<span class="soft">{note}</span>' for note in notes)
    return (
        f'<div class="tile"><span>{escape(title)}</span><strong>{percent(found[score])}</strong>'
        f"{spread}</div>"
    )


def _percent(score: float | None) -> str:
    return "-" if score is None else f"{100 * score:.1f}"


def _range(interval: Sequence[float | None]) -> str:
    low, high = map(_percent, interval)
    return "-" if low == high == "-" else f"{low} to {high}"


def _number(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _words(score: str) -> str:
    return score.replace("_", " ").replace("f1", "F1").replace("auc", "AUC")
