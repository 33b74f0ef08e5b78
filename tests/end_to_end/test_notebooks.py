"""The notebooks of docs/, run in a real kernel; and the calls from Python in one."""

import asyncio
import re
import threading
import time

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from tests.support import notebooks
from tests.support.places import ROOT

LARGEST = 500_000  # bytes
SMALLER = {  # shorter videos, fewer steps, and a training step that is traced alone
    "synthetic_seconds=60": "synthetic_seconds=14",
    '"batch_size": 32': '"batch_size": 8',
    '"steps": 120': '"steps": 4',
    '"steps": 60': '"steps": 4',
    '"probe_every": 0': '"probe_every": 0, "compile_with_xla": False',
}
SECRETS = (str(ROOT), "/tmp/", "/home/", "/root/")


@pytest.fixture
def place(tmp_path):
    return notebooks.place_for(tmp_path / "project")


def codes(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def pictures(notebook):
    outputs = [output for cell in codes(notebook) for output in cell.outputs]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    return sum(
        any(kind.startswith("image/") for kind in output.get("data", {})) for output in outputs
    ), kinds


def shrink(notebook):
    """Makes little work of a notebook; returns how many of its values are smaller."""
    count = 0
    for cell in codes(notebook):
        for value, smaller in SMALLER.items():
            count += value in cell.source
            cell.source = cell.source.replace(value, smaller)
    return count


def said(notebook, name):
    outputs = [output for cell in codes(notebook) for output in cell.outputs]
    return "".join(out.text for out in outputs if out.output_type == "stream" and out.name == name)


def test_there_are_two():
    assert notebooks.NOTEBOOKS == ["own_videos.ipynb", "quickstart.ipynb"]


@pytest.mark.parametrize("name", notebooks.NOTEBOOKS)
def test_a_notebook_runs(name, place):
    """With smaller values; what is stored is what came of its own."""
    stored = nbformat.read(ROOT / "docs" / name, as_version=4)
    run = notebooks.client(place, name)
    assert shrink(run.nb) == 4  # seconds, batch, steps, the step
    run.execute()
    left = notebooks.bars(run)
    assert {"pre-training", "embedding"} <= {bar["text"].split(":")[0] for bar in left.values()}
    for bar in left.values():
        if bar["max"] > 1:
            assert (bar["value"], bar["style"]) == (bar["max"], "success"), bar
            assert f"100% {bar['max']:.0f}/{bar['max']:.0f}" in bar["text"], bar
    found = notebooks.tidy(run)
    assert said(found, "stderr") == ""
    assert pictures(found)[0] == pictures(stored)[0]


@pytest.mark.parametrize("name", notebooks.NOTEBOOKS)
def test_a_notebook_is_stored_with_its_outputs(name):
    path = ROOT / "docs" / name
    assert path.stat().st_size <= LARGEST
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert [cell.execution_count for cell in codes(notebook)] == [
        *range(1, len(codes(notebook)) + 1)
    ]
    number, kinds = pictures(notebook)
    assert number >= 2 and notebooks.WIDGET not in kinds
    assert said(notebook, "stderr") == ""
    text = re.sub(r'"image/\w+": "[^"]*"', "", path.read_text())
    assert not [secret for secret in SECRETS if secret in text]


def test_the_quickstart_has_ten_cells():
    notebook = nbformat.read(ROOT / "docs" / "quickstart.ipynb", as_version=4)
    assert len(codes(notebook)) == 10
    assert pictures(notebook)[0] >= 5


RUN = """
STEPS = 16
from tests.support.small_dataset import make_small_dataset
from tests.support.small_msn import small_config
from msn.pretrain import pretrain
import tensorflow as tf
tf.config.run_functions_eagerly(True)
data = make_small_dataset(OUT / "cholec80")
config = small_config(data, steps=STEPS, checkpoint_every=STEPS)
"""
GO_ON = """
import logging
logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
steps = int(max((OUT / "run" / "checkpoints").glob("*.safetensors")).stem.split("_")[1])
print(steps, pretrain(config, OUT / "run"))
"""


def test_the_stop_button_stops_a_run_that_then_goes_on(tmp_path, place):
    cells = [
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom pathlib import Path\n"
        f"OUT = Path({str(tmp_path)!r})",
        RUN,
        'pretrain(config, OUT / "run")',
        GO_ON,
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, place / "docs" / "stop.ipynb")
    run = notebooks.client(place, "stop.ipynb")

    def press():
        lines = tmp_path / "run" / "metrics.jsonl"
        until = time.monotonic() + 120
        while time.monotonic() < until and not (lines.exists() and lines.stat().st_size):
            time.sleep(0.1)
        asyncio.run(run.km.interrupt_kernel())

    with run.setup_kernel():
        for index in (0, 1):
            run.execute_cell(run.nb.cells[index], index)
        button = threading.Thread(target=press)
        button.start()
        with pytest.raises(CellExecutionError, match="stopped by Ctrl-C after step"):
            run.execute_cell(run.nb.cells[2], 2)
        button.join()
        run.execute_cell(run.nb.cells[3], 3)
    text = "".join(output.get("text", "") for output in run.nb.cells[3].outputs)
    steps = int(re.search(r"(?m)^(\d+) .*run/encoder$", text)[1])
    assert steps > 0 and f"from step {steps}" in text
