r"""Sends runs to MLflow or Weights & Biases: what they have not got yet, each row and file once.

  export MLFLOW_TRACKING_URI=http://127.0.0.1:5000
  python -m msn.track runs/msn_vits16 runs/phase --track=mlflow
  python -m msn.track runs/comparison runs/comparison/cells/* --track=mlflow,wandb

With --config.track=mlflow, msn.train and down_stream/main.py do it by themselves while they run.
This is for runs that were made without, and for what a tracker missed that was away at the end.
"""

from absl import flags

from data.common import cli, summary
from data.common.errors import InputError
from data.storage.locking import locked
from data.storage.paths import to_path
from msn.tracking.trackers import TRACKERS, tracker_names

TRACK = flags.DEFINE_string("track", None, f"{' or '.join(TRACKERS)}, or both, as a,b (required)")
flags.mark_flag_as_required("track")
summary.define_summary()


def main(*folders: str) -> int:
    """Runs the command and returns its exit code."""
    names = tracker_names(TRACK.value)
    if not names:
        raise InputError(f"--track={TRACK.value}: no tracker; expected {' or '.join(TRACKERS)}")
    from msn.tracking.contents import check_begun
    from msn.tracking.sending import send_finished

    paths = [to_path(folder) for folder in folders]
    for path in paths:
        check_begun(path)
    summary.note(inputs=folders)
    failed = []
    for path in paths:
        with locked(path):
            if not send_finished(path, TRACK.value):
                failed.append(str(path))
            else:
                print(f"{path}: {', '.join(names)} {'have' if len(names) > 1 else 'has'} all of it")
    if failed:
        summary.note(problems=[f"{path}: not sent" for path in failed])
    return cli.DONE_IN_PART if failed else cli.DONE


if __name__ == "__main__":
    cli.run(
        main,
        wrong_input=(InputError,),
        positional="WORKDIR ...",
        kept="what was sent is noted; the same command sends the rest",
    )
