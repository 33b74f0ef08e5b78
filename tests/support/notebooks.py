"""The notebooks of docs/: run in a kernel of their own, and stored with what came of it.

python -m tests.support.notebooks        what `make notebooks` does
"""

import html
import os
import re
import shutil
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.support.places import ROOT

NOTEBOOKS = sorted(path.name for path in (ROOT / "docs").glob("*.ipynb"))
PARTS = ("configs", "data", "msn", "down_stream")
WIDGET = "application/vnd.jupyter.widget-view+json"


def place_for(folder):
    """A copy of the project to run notebooks in: `runs/` is made in it."""
    (folder / "docs").mkdir(parents=True)
    for part in PARTS:
        (folder / part).symlink_to(ROOT / part)
    for name in NOTEBOOKS:
        shutil.copy(ROOT / "docs" / name, folder / "docs")
    return folder


def client(place, name, **arguments):
    """What runs a notebook of a place; its `nb` has the outputs afterwards."""
    notebook = nbformat.read(place / "docs" / name, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    resources = {"metadata": {"path": str(place / "docs")}}
    return NotebookClient(
        notebook, timeout=600, resources=resources, store_widget_state=True, **arguments
    )


def bars(run):
    """Of each bar that was shown, {"text", "value", "max", "style"} as it was left."""
    state, found = run.widget_state, {}
    for model, box in state.items():
        if box["_model_name"] == "HBoxModel":
            left, bar, right = (
                state[child.removeprefix("IPY_MODEL_")] for child in box["children"]
            )
            text = re.sub(r" *\[.*", "", f"{left['value'].strip()} {right['value'].strip()}")
            text = html.unescape(re.sub(r"<[^>]*>", "", text)).replace("\u2007", " ")
            found[model] = {"text": text, "style": bar["bar_style"]}
            found[model] |= {name: bar[name] for name in ("value", "max")}
    return found


def tidy(run):
    """The notebook without what differs from run to run; of a bar its last text, without times."""
    notebook, left = run.nb, bars(run)
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get("outputs", ()):
            if widget := output.get("data", {}).pop(WIDGET, None):
                output["data"]["text/plain"] = left[widget["model_id"]]["text"]
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}
    return notebook


def main():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as folder:
        place = place_for(Path(folder) / "project")
        for name in NOTEBOOKS:
            run = client(place, name)
            run.execute()
            nbformat.write(tidy(run), ROOT / "docs" / name)
            size = (ROOT / "docs" / name).stat().st_size
            print(f"docs/{name}: {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
