r"""Sends runs to MLflow or Weights & Biases: what they have not got yet, each row and file once.

  export MLFLOW_TRACKING_URI=http://127.0.0.1:5000
  python -m msn.track runs/msn_vits16 runs/phase --track=mlflow
  python -m msn.track runs/comparison runs/comparison/cells/* --track=mlflow,wandb

With --config.track=mlflow, msn.train and down_stream/main.py do it by themselves while they run.
This is for runs that were made without, and for what a tracker missed that was away at the end.
"""

if __name__ == "__main__":  # before what takes long to import
    from data.common import stopping

    stopping.end_at_once()

import sys

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

    summary.note(inputs=folders)
    problems = []
    for path in map(to_path, folders):
        try:
            check_begun(path)
            with locked(path):
                is_sent = send_finished(path, TRACK.value, is_patient=True)
        except InputError as error:  # of this folder: no run, or one that is running
            print(f"not sent: {error}", file=sys.stderr)
            problems.append(str(error))
        else:
            if is_sent:
                print(f"{path}: {', '.join(names)} {'have' if len(names) > 1 else 'has'} all of it")
            else:
                problems.append(f"{path}: not sent")
    summary.note(problems=problems)
    return cli.DONE_IN_PART if problems else cli.DONE


if __name__ == "__main__":
    cli.run(
        main,
        wrong_input=(InputError,),
        positional="WORKDIR ...",
        kept="what was sent is noted; the same command sends the rest",
    )
