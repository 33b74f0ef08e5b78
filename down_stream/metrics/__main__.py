"""Scores anyone's phase predictions by every protocol in use.

  python -m down_stream.metrics runs/phase_probe/predictions.csv --output=scores.json

The file has the columns video, second, label and prediction. The table on the screen is a summary,
--output gets all scores.
"""

if __name__ == "__main__":  # before what takes long to import
    from data.common import stopping

    stopping.end_at_once()

from pathlib import Path

from absl import flags

from data.common import cli
from data.common.errors import InputError
from data.storage.locking import locked_file
from data.storage.whole import write_json
from down_stream.metrics.phases import evaluate, summary
from down_stream.metrics.predictions import read_predictions, spacing_remarks


def main(predictions: str) -> None:
    """Scores a predictions.csv: a table on the screen, everything in `--output`."""
    output = flags.FLAGS.output
    table = read_predictions(predictions)
    results = evaluate(table)
    if output:
        with locked_file(Path(output)):
            write_json(Path(output), results, allow_nan=False)
    print(summary(results))
    for remark in spacing_remarks(table):
        print(f"remark: {remark}")


if __name__ == "__main__":
    flags.DEFINE_string("output", None, "JSON file that is written, with all scores")
    cli.run(main, wrong_input=(InputError,), positional="PREDICTIONS")
