"""The picture of a run is looked at: is every curve there, in its colour and where it should be?"""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from data.common.errors import InputError
from msn.curves import COLOURS, PANELS, draw, draw_panel, read_run
from msn.pretrain import pretrain
from tests.support.forked_commands import call
from tests.support.places import ROOT
from tests.support.small_msn import small_config


def write(folder, lines, batch_size=8, prototypes=16):
    folder.mkdir()
    config = {"batch_size": batch_size, "model": {"num_prototypes": prototypes}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def panel_of(name):
    return next(panel for panel in PANELS if name in panel.curves)


def drawn(name, *runs):
    """The axes of the panel that shows a metric."""
    axes = Figure().add_subplot()
    draw_panel(axes, panel_of(name), [read_run(run) for run in runs])
    return axes


def colours_of(path):
    """Which of COLOURS a picture has, as a set of indices."""
    picture = imread(path)[..., :3]
    near = (np.abs(picture - to_rgb(c)).max(axis=-1) < 0.01 for c in COLOURS)
    return {i for i, pixels in enumerate(near) if pixels.sum() > 50}


def test_every_panel_shows_what_a_run_records(small_dataset, tmp_path):
    config = small_config(small_dataset, steps=2, log_every=1, views__focal_views=0)
    assert pretrain(config, tmp_path / "run")
    run = read_run(tmp_path / "run")
    asked = {name for panel in PANELS for name in panel.curves}
    probed = {"knn_macro_f1", "knn_average_precision", "source_knn", "source_chance"}
    assert asked - set(run.curves) == probed | {"teacher"}  # there is none
    draw([tmp_path / "run"], tmp_path / "curves.png")
    assert colours_of(tmp_path / "curves.png") == {0}


def test_a_run_has_a_colour_and_a_value_a_line_style(tmp_path):
    lines = [{"step": s, "entropy": 2.0 / s, "mean_entropy": 2.5} for s in (10, 20, 30)]
    runs = [write(tmp_path / name, lines) for name in "ab"]
    *curves, limit = drawn("entropy", *runs).lines
    assert [(c.get_color(), c.get_linestyle()) for c in curves] == [
        (COLOURS[0], "-"),
        (COLOURS[0], "--"),
        (COLOURS[1], "-"),
        (COLOURS[1], "--"),
    ]
    np.testing.assert_array_equal(curves[1].get_xydata(), [(10, 0.2), (20, 0.1), (30, 2 / 30)])
    assert set(limit.get_ydata()) == {math.log(16)}


def test_what_is_recorded_now_and_then_is_joined_and_what_is_not_finite_is_a_gap(tmp_path):
    lines = [{"step": s, "loss": 4.0 if s != 3 else math.nan} for s in (1, 2, 3, 4)]
    for line in lines[1::2]:
        line["knn_macro_f1"] = 0.1 * line["step"]
    run = write(tmp_path / "run", lines)
    probe = drawn("knn_macro_f1", run).lines[0]
    np.testing.assert_allclose(probe.get_xydata(), [(2, 0.2), (4, 0.4)])
    loss = drawn("loss", run).lines[0]
    np.testing.assert_array_equal(loss.get_ydata(), [4, 4, math.nan, 4])


def test_no_more_prototypes_are_used_than_images_are_in_a_batch(tmp_path):
    lines = [{"step": 1, "prototypes_used": 5.0}]
    small = write(tmp_path / "small", lines, batch_size=8, prototypes=16)
    large = write(tmp_path / "large", lines, batch_size=64, prototypes=16)
    *curves, low, high = drawn("prototypes_used", small, large).lines
    assert sorted([low.get_ydata()[0], high.get_ydata()[0]]) == [8, 16]
    assert [curve.get_marker() for curve in curves] == ["o", "o"]  # one point has no line


def test_what_no_run_records_is_said(tmp_path):
    run = write(tmp_path / "run", [{"step": 1, "loss": 4.0}])
    for name, said in (("knn_macro_f1", True), ("loss", False)):
        assert ("not recorded" in {text.get_text() for text in drawn(name, run).texts}) == said


def test_half_a_line_of_a_killed_run_is_left_out(tmp_path):
    run = write(tmp_path / "run", [{"step": 1, "loss": 4.0}])
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    np.testing.assert_array_equal(read_run(run).curves["loss"], [[1], [4]])


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"not a run of msn\.train \(no metrics\.jsonl\)"):
        draw([tmp_path], tmp_path / "curves.png")
    with pytest.raises(InputError, match="no step has been logged yet"):
        draw([write(tmp_path / "begun", [])], tmp_path / "curves.png")
    with pytest.raises(InputError, match="7 runs; expected 1 to 6"):
        draw([tmp_path] * 7, tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("config.json", "{}"), ("config.json", "[]"), ("config.json", '{"model": {')),
        *(("metrics.jsonl", '{"loss": 1}\n'), ("metrics.jsonl", "no JSON\n")),
    ],
)
def test_what_is_no_run_is_named(tmp_path, name, text):
    run = write(tmp_path / "run", [{"step": 1, "loss": 3.0}])
    (run / name).write_text(text)
    with pytest.raises(InputError, match=f"{name}: damaged"):
        read_run(run)


def run_command(*arguments):
    return call("-m", "msn.curves", *arguments)


def test_another_projects_matplotlib_has_no_effect(tmp_path):
    """Its settings are read as matplotlib is imported: a process that has not done so yet."""
    run = write(tmp_path / "run", [{"step": step, "loss": 4.0 - step} for step in (1, 2)])
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 40\naxes.grid: True\n")
    pictures = []
    for variables in (
        {},
        {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "MPLBACKEND": "none that is known"},
        {"MPLCONFIGDIR": str(tmp_path)},
    ):
        output = tmp_path / f"{len(pictures)}.png"
        command = [sys.executable, "-m", "msn.curves", run, "--output", output]
        subprocess.run(command, cwd=ROOT, env=os.environ | variables, check=True)
        pictures.append(output.read_bytes())
    assert pictures[0] == pictures[1] == pictures[2]


def test_command(tmp_path):
    lines = [{"step": s, "loss": 4.0 - s} for s in (1, 2)]
    runs = [write(tmp_path / name, lines) for name in "ab"]
    output = tmp_path / "curves.png"
    done = run_command(*runs, "--output", output)
    assert (done.returncode, done.stdout) == (0, f"written to {output}\n"), done.stderr
    assert colours_of(output) == {0, 1}
    done = run_command(tmp_path / "missing")
    assert done.returncode == 2
    assert (
        done.stderr == f"error: {tmp_path / 'missing'}: not a run of msn.train (no metrics.jsonl)\n"
    )
