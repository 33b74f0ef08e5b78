"""What a tracker is told of a run directory."""

from pathlib import Path

import pytest

from msn.sweep import read_sweep
from msn.tracking.contents import title_of
from tests.support.small_msn import small_config


@pytest.mark.parametrize(
    ("folder", "title"),
    [
        ("runs/ours", ("ours", "")),
        ("runs/comparison/cells/msn_probe", ("comparison/msn_probe", "comparison")),
        ("runs/probe/fold3", ("probe/fold3", "probe")),
        ("runs/folders/fold_left", ("fold_left", "")),
    ],
)
def test_the_name_of_a_run_and_what_it_belongs_to(folder, title):
    assert title_of(Path(folder)) == title


def test_runs_of_a_sweep_are_told_from_those_of_another(tmp_path):
    (tmp_path / "cells.txt").write_text("seed=0\nbatch_size=4 seed=1\n")
    lines = read_sweep(tmp_path / "cells.txt", small_config(tmp_path / "data"))
    found = [title_of(tmp_path / "rates" / line.name) for line in lines]
    assert found == [("rates/seed=0", "rates"), ("rates/batch_size=4_seed=1", "rates")]
