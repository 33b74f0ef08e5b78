"""The command of a cell, run as it stands."""

import json
import shlex

from configs import encoder_comparison
from down_stream.cells.cell import command, make_cell
from msn.workdir.run_directory import plain
from tests.support.forked_commands import call


def test_the_command_of_a_cell_runs_that_cell_and_nothing_else(small_dataset, tmp_path):
    shared = {
        "data.root": (str(small_dataset),),
        "validation_videos": ("video03",),
        "test_videos": ("video04",),
        "model.image_size": 16,
        "temporal": "",
        "feature_cache": str(tmp_path / "features"),
    }
    of_grid = {
        "train_videos": ("video01", "video02"),
        "encoders": (("random", ""), ("another", "nowhere")),
        "modes": ("knn",),
        "seeds": (0,),
        "model.like": "nowhere",
    }
    start = ["python", "down_stream/main.py", "--config=configs/encoder_comparison.py"]
    start += ["--shard", "1/1", "--model=vitti"]
    start += [f"--config.{key}={value}" for key, value in (shared | of_grid).items()]
    config = encoder_comparison.get_config()
    config.update_from_flattened_dict(shared | {"model.variant": "vitti16"})
    own = {"encoder": "", "model.like": None, "seed": 1, "train_videos": ("video02",)}
    cell = make_cell(config, own | {"mode": "knn"}, {}, tmp_path / "cells" / "random")

    words = shlex.split(command(start, cell))
    found = call(*words[1:])
    assert found.returncode == 0, found.stderr
    results = json.loads((cell.directory / "results.json").read_text())
    assert results["config"] == plain(cell.config)
    assert results["videos"]["train"] == ["video02"]
    assert not (cell.directory / "cells").exists()
