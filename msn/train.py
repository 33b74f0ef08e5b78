r"""Pre-trains a Vision Transformer on endoscopic video with Masked Siamese Networks (MSN).

  python -m msn.train --config=configs/msn_demo.py --workdir=runs/msn_demo
  python -m msn.train --list_configs                      which there are, and what each needs
  python -m msn.train --config=configs/msn_vits16.py --workdir=runs/msn_vits16 \
      --config.data.root=DIR/cholec80 --config.batch_size=256 --config.optimizer.learning_rate=5e-4

The configuration files explain every key. Started again, the same command goes on from its last
checkpoint. The result is WORKDIR/encoder, which down_stream/main.py and inference.py open.
--summary=FILE.json tells other programs how it ended.
"""

from absl import flags

from data.common import cli, summary
from data.common.errors import InputError

CONFIG = cli.define_config("configs/msn_demo.py", "configuration of the run")
WORKDIR = flags.DEFINE_string("workdir", None, "directory of the run, made if missing (required)")
flags.mark_flag_as_required("workdir")
summary.define_summary()


def main() -> int:
    """Runs the command and returns its exit code."""
    from data.frames.opening import check_roots
    from msn.training.checks import check

    config, workdir = CONFIG.value, WORKDIR.value
    check(config)  # in a second, which TensorFlow's import takes several of
    summary.note(inputs=[*config.data.root, *filter(None, [config.init])], outputs=[workdir])
    check_roots(config.data.root)
    cli.import_tensorflow()
    from msn.pretrain import pretrain

    complete = pretrain(config, workdir)
    return cli.DONE if complete else cli.STOPPED


if __name__ == "__main__":
    cli.run(main, (InputError,), kept="checkpoints are kept; the same command goes on")
