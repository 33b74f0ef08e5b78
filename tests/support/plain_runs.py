"""Runs whose pictures are blank, and whose encoders have an empty saved_model/."""

import contextlib
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from msn import encoders

SVG = "http://www.w3.org/2000/svg"
BLANK = {"png": "", "svg": f'<svg xmlns="{SVG}" viewBox="0 0 9 9"><metadata/><defs/></svg>'}


@contextlib.contextmanager
def plain_runs():
    """Context in which runs neither draw nor write a SavedModel: that takes seconds for each.

    What is in them is seen in tests/down_stream/report, tests/down_stream/test_experiment.py and
    tests/msn/formats; commands in processes of their own write them.
    """
    savefig = Figure.savefig

    def blank(figure, file, **options):
        image = BLANK.get(options.get("format"))
        if image is None:
            savefig(figure, file, **options)
        elif hasattr(file, "write"):
            file.write(image)
        else:
            Path(file).write_text(image)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", blank)
        patch.setattr(encoders, "save_saved_model", lambda encoder, path: path.mkdir())
        yield
