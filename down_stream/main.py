r"""Recognises surgical phases with a pre-trained encoder: fits on some videos, tests on others.

  python down_stream/main.py                                          probe the demo's encoder
  python down_stream/main.py --config=configs/phase_finetune.py \
      --config.data.root=DIR/cholec80 --config.encoder=runs/msn_vits16/encoder
  python down_stream/main.py --config=configs/phase_probe.py --model=vits \
      --config.data.root=DIR/cholec80                                 from scratch
  python down_stream/main.py --config=configs/phase_low_shot.py \
      --config.data.root=DIR/cholec80          how much annotation does pre-training save?
  python down_stream/main.py --config=configs/encoder_comparison.py \
      --config.data.root=DIR/cholec80          which of several encoders is the better one?

Tools, polyps and any other classes are recognised by the same command (configs/tools_probe.py,
configs/polyps_probe.py); --list_configs shows which configurations there are. Their files explain
every key; --model, --optimizer, --learning_rate, --weight_decay and --workdir override theirs.
Results, predictions, report.html, pictures and the model go to the workdir.
"""

import os
import sys

# As a script, from any folder; pathlib would take long to import.
sys.path.insert(0, os.path.realpath(f"{__file__}/../.."))
# Last of all its own folder, in which `select` has the name of a module of Python's.
sys.path.sort(key=lambda place: os.path.realpath(place) == os.path.realpath(f"{__file__}/.."))

if __name__ == "__main__":  # before what takes long to import
    from data.common import stopping

    stopping.end_at_once()

from absl import flags
from ml_collections import config_flags

from data.common import cli, summary
from data.common.errors import InputError
from down_stream.choices import OPTIMIZERS

CONFIG = cli.define_config("configs/phase_demo.py", "configuration of the experiment")
MODELS = {f"vit{size}": f"vit{size}16" for size in ("ti", "s", "b", "l", "h")}
MODELS["resnet50"] = "resnet50v2"
MODEL = flags.DEFINE_enum(
    "model", None, list(MODELS), "architecture; Vision Transformers have patches of 16 pixels"
)
OPTIMIZER = flags.DEFINE_enum("optimizer", None, list(OPTIMIZERS), "optimizer")
WORKDIR = flags.DEFINE_string(
    "workdir", None, "where results go (default: the configuration's key workdir, runs/demo/probe)"
)
LEARNING_RATE = flags.DEFINE_float("learning_rate", None, "peak learning rate", lower_bound=0)
WEIGHT_DECAY = flags.DEFINE_float("weight_decay", None, "decoupled weight decay", lower_bound=0)
SHARD = flags.DEFINE_string(
    "shard",
    None,
    "I/N: which of the N processes this is that share the cells of a comparison or a sweep; they "
    "may run on several machines; the last one that ends writes the page or prints the table",
)
SWEEP = flags.DEFINE_string(
    "sweep",
    None,
    "file with a line of key=value key=value ... for each experiment, which are run one after "
    "another in folders of the workdir, and compared; stopped, the same command goes on",
)
summary.define_summary()


def main() -> int:
    """Runs the command and returns its exit code."""
    config = CONFIG.value
    if MODEL.value is not None:
        config.model.variant = MODELS[MODEL.value]
    if WORKDIR.value is not None:
        config.workdir = WORKDIR.value
    if OPTIMIZER.value is not None:
        config.optimizer.name = OPTIMIZER.value
    if LEARNING_RATE.value is not None:
        config.optimizer.learning_rate = LEARNING_RATE.value
        config.probe.learning_rates = (LEARNING_RATE.value,)
    if WEIGHT_DECAY.value is not None:
        config.optimizer.weight_decay = WEIGHT_DECAY.value
        config.probe.weight_decays = (WEIGHT_DECAY.value,)

    summary.note(inputs=[*config.data.root, *filter(None, [config.encoder])])
    summary.note(outputs=[config.workdir])
    is_grid = bool(config.get("encoders"))  # without: one cell of it, or an experiment
    is_comparison = is_grid and "modes" in config
    if SHARD.value is not None and not (is_comparison or SWEEP.value):
        raise InputError(
            f"--shard={SHARD.value} without a comparison or a sweep; expected --config="
            "configs/encoder_comparison.py, or one that starts from it, or --sweep=FILE"
        )
    if SWEEP.value and is_grid:
        raise InputError(
            f"--sweep={SWEEP.value} of a grid, which is one already; expected a configuration of "
            "one experiment"
        )
    if SWEEP.value:
        return sweep(config)
    check_before(config, is_grid, is_comparison)
    cli.import_tensorflow()
    if is_comparison:
        return comparison(config)
    return low_shot(config) if is_grid else one(config)


def check_before(config, is_grid: bool, is_comparison: bool) -> None:
    """Raises `InputError` for what cannot work, before TensorFlow's import, which takes seconds."""
    from data.storage.paths import output_folder
    from down_stream import checks
    from down_stream.cells.cell import without_grid_keys
    from down_stream.comparison import checks as of_comparisons
    from down_stream.low_shot import checks as of_grids

    if is_comparison:
        of_comparisons.give_to_modes(config, set_by_user())
    if is_grid:
        (of_comparisons.check if is_comparison else of_grids.check_grid)(config)
    else:
        checks.check(without_grid_keys(config))
    output_folder("workdir", config.workdir)
    inputs = config.copy_and_resolve_references()
    if is_comparison:  # which leaves it out by itself where frames have no order in time
        inputs.temporal = ""
    checks.check_inputs(inputs)
    if is_grid:
        of_grids.check_paths(config)


def set_by_user() -> set[str]:
    """The keys of the configuration that the command line sets, for all modes of a comparison.

    Not by --learning_rate and --weight_decay: what is right for a probe destroys an encoder.
    """
    keys = set(config_flags.get_override_values(flags.FLAGS["config"]))
    for flag, key in ((MODEL, "model.variant"), (OPTIMIZER, "optimizer.name")):
        keys |= {key} if flag.value is not None else set()
    return keys


def name_training_videos(config):
    """The task of a grid, in whose configuration the training videos with labels are named now."""
    from down_stream.features.labelled_splits import labelled_videos
    from down_stream.tasks import labels_of

    roots, videos, task = labels_of(config)
    config.train_videos = labelled_videos(roots, "train", videos["train"], task)
    return task


def low_shot(config) -> int:
    """Runs a grid of experiments, and prints its table."""
    from down_stream.experiment import run
    from down_stream.low_shot.grid import run_grid
    from down_stream.low_shot.table import text_table

    task = name_training_videos(config)
    table = run_grid(config, config.workdir, run=run, score=task.chosen_by, unit=task.unit)
    print(text_table(table))
    print(f"table, curve and all experiments: {config.workdir}")
    return ended(table["failed"])


def comparison(config) -> int:
    """Compares encoders, and prints the table of those with all labels."""
    from down_stream.comparison.grid import run_comparison
    from down_stream.comparison.page import text_table
    from down_stream.cross_validation import training_videos
    from down_stream.experiment import experiment
    from msn.sweep import read_shard

    task = name_training_videos(config)
    found, failed = run_comparison(
        config,
        config.workdir,
        run=experiment,
        task=task,
        start=["python", "down_stream/main.py", *sys.argv[1:]],
        shard=read_shard(SHARD.value),
        in_folds=training_videos(config, config.seeds) if config.folds else (),
    )
    if found is None:
        print(
            "\n".join(
                [
                    *(f"failed: {text}" for text in failed),
                    "this process is done; the page is written when all cells are",
                ]
            )
        )
        return ended(failed)
    print(text_table(found))
    print(f"page, table and all experiments: {config.workdir}/comparison.html")
    return ended(failed)


def sweep(config) -> int:
    """Runs a sweep, and prints the table of its experiments."""
    from data.storage.paths import local_folder
    from down_stream.cells.sweep import plan_sweep, run_sweep
    from msn.sweep import read_shard, read_sweep

    workdir, shard = local_folder("workdir", config.workdir), read_shard(SHARD.value)
    cells, task = plan_sweep(config, read_sweep(SWEEP.value, config), workdir)
    cli.import_tensorflow()
    from down_stream import compare
    from down_stream.cells.running import failures
    from down_stream.experiment import experiment

    results = run_sweep(cells, experiment, task.chosen_by, shard)
    done = [
        cell.directory
        for cell, one in zip(cells, results, strict=True)
        if one and "videos" in one  # has scores
    ]
    failed = failures(cells, results)
    lines = [compare.table(done)] if done else []
    lines += [f"failed: {text}" for text in failed]
    if left := results.count(None):
        lines.append(f"{left} of {len(cells)} cells are left to other processes")
    print("\n".join(lines))
    return ended(failed)


def ended(failed: list[str]) -> int:
    """The exit code of a command of whose cells these failed."""
    summary.note(problems=failed)
    return cli.DONE_IN_PART if failed else cli.DONE


def one(config) -> int:
    """Runs one experiment, and prints its scores."""
    from down_stream.experiment import experiment
    from down_stream.metrics import phases

    results = experiment(config)
    summary.note(done=sorted({video for part in results["videos"].values() for video in part}))
    print(phases.summary(results["metrics"]))
    if results["positive_class"]:
        print(f"sensitivity is that of {results['positive_class']}, the positive class")
    for name, found in results["temporal"].items():
        print(f"\n{name}, after the frame model:\n{phases.summary(found['metrics'])}")
    models = "the models in fold1 and so on" if config.folds else "the model beside it"
    print(f"report: {config.workdir}/report.html; results, predictions and {models}")
    if any(results["unreadable_frames"].values()):
        print(results["warnings"][-1])
        summary.note(problems=results["warnings"][-1:])
        return cli.DONE_IN_PART
    return cli.DONE


if __name__ == "__main__":
    cli.run(main, (InputError,), kept="what is done is kept; the same command goes on")
