"""Cards: README.md in a directory, as Hugging Face reads it: YAML between dashes, then Markdown.

Source: huggingface.co/docs/hub/datasets-cards, /model-cards.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

CARD = "README.md"
UNKNOWN = "unknown"  # Hugging Face's word for a licence that nobody named
HEAD = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*$", re.DOTALL | re.MULTILINE)
LICENCE = re.compile(r"^license:[ \t]*(['\"]?)([\w.+-]+)\1[ \t]*(?:#.*)?$", re.MULTILINE)
_PLAIN = re.compile(r"[A-Za-z][\w-]*(?:\.[\w-]+)*")  # what YAML reads as the text that it is
_NO_TEXT = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


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
