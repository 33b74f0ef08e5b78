r"""Pre-trains a Vision Transformer on endoscopic video with Masked Siamese Networks (MSN).

  python -m msn.train --config=configs/msn_demo.py --workdir=runs/msn_demo
  python -m msn.train --list_configs                      which there are, and what each needs
  python -m msn.train --config=configs/msn_vits16.py --workdir=runs/msn_vits16 \
      --config.data.root=DIR/cholec80 --config.batch_size=256 --config.optimizer.learning_rate=5e-4

The configuration files explain every key. Started again, the same command goes on from its last
checkpoint. The result is WORKDIR/encoder, which down_stream/main.py and inference.py open.
With --sweep=FILE, each line of the file (key=value key=value ...) is a run in WORKDIR.
--summary=FILE.json tells other programs how it ended.
"""

if __name__ == "__main__":  # before what takes long to import
    from data.common import stopping

    stopping.end_at_once()

from absl import flags

from data.common import cli, summary
from data.common.errors import InputError, LockedError
from data.common.logs import logger

CONFIG = cli.define_config("configs/msn_demo.py", "configuration of the run")
WORKDIR = flags.DEFINE_string("workdir", None, "directory of the run, made if missing (required)")
flags.mark_flag_as_required("workdir")
SWEEP = flags.DEFINE_string(
    "sweep",
    None,
    "file with a line of key=value key=value ... for each run, which are done one after another in "
    "folders of the workdir; stopped, the same command goes on",
)
SHARD = flags.DEFINE_string(
    "shard", None, "I/N: which of the N processes this is that share the runs of a --sweep"
)
summary.define_summary()


def main() -> int:
    """Runs the command and returns its exit code."""
    config, workdir = CONFIG.value, WORKDIR.value
    if SWEEP.value:
        return sweep(config, workdir)
    if SHARD.value is not None:
        raise InputError(f"--shard={SHARD.value} without a sweep; expected --sweep=FILE, too")
    summary.note(inputs=[*config.data.root, *filter(None, [config.init])], outputs=[workdir])
    check_before(config)
    cli.import_tensorflow()
    from msn.pretrain import pretrain

    pretrain(config, workdir)
    return cli.DONE


def check_before(config) -> None:
    """Raises `InputError` for what cannot work, in a second: TensorFlow's import takes several."""
    from data.frames.opening import check_roots
    from msn.training.checks import check, check_encoders

    check(config)
    check_roots(config.data.root)
    check_encoders(config)


def sweep(config, workdir: str) -> int:
    """Does the runs of a sweep, and prints a table of their last values.

    Returns:
      The exit code.

    Raises:
      InputError: the list, or a run's configuration, is wrong; no run has begun then.
    """
    from data.common.configurations import with_overrides
    from data.storage.paths import to_path
    from msn.sweep import read_shard, read_sweep

    lines, shard = read_sweep(SWEEP.value, config), read_shard(SHARD.value)
    runs = {to_path(workdir) / line.name: with_overrides(config, line.overrides) for line in lines}
    for folder, own in runs.items():
        try:
            check_before(own)
        except InputError as error:
            raise InputError(f"run {folder.name}: {error}") from error
    summary.note(inputs=[SWEEP.value], outputs=[workdir])
    cli.import_tensorflow()
    from msn.curves import last_values
    from msn.pretrain import pretrain

    told = []
    for place, (folder, own) in enumerate(runs.items()):
        if not shard.has(place):
            continue
        logger.info("%d of %d: %s", place + 1, len(runs), folder.name)
        try:
            pretrain(own, folder)
        except LockedError as error:
            logger.warning("left to another process: %s", error)
        except InputError as error:  # of this run alone, such as a loss that is not finite
            told.append(f"{folder.name}: {error}")
            logger.warning("%s failed, the others go on: %s", folder.name, error)
    print("\n".join([last_values(runs), *(f"failed: {text}" for text in told)]))
    summary.note(problems=told)
    return cli.DONE_IN_PART if told else cli.DONE


if __name__ == "__main__":
    cli.run(main, (InputError,), kept="checkpoints are kept; the same command goes on")
