"""Scores anyone's predictions.csv by every protocol in use: python -m down_stream.metrics FILE."""

import argparse
import json
import sys
from pathlib import Path

from data.common import cli
from data.common.errors import InputError
from data.storage.whole import whole_file
from down_stream.metrics.phases import evaluate, summary
from down_stream.metrics.predictions import read_predictions


def main(arguments: list[str]) -> None:
    """Scores a predictions.csv: a table on the screen, everything in `--output`."""
    # Without argparse's block of usage: a mistake is one line.
    parser = argparse.ArgumentParser(
        "down_stream.metrics",
        argparse.SUPPRESS,
        "Scores phase predictions by several protocols.",
    )
    parser.add_argument("predictions", help="predictions.csv: video, second, label, prediction")
    parser.add_argument("--output", type=Path, help="write all scores here, as JSON")
    options = parser.parse_args(arguments)
    results = evaluate(read_predictions(options.predictions))
    if options.output:
        with whole_file(options.output) as side:
            side.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")
    print(summary(results))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (InputError, OSError) as error:
        sys.exit(cli.refuse(cli.describe(error) if isinstance(error, OSError) else error))
