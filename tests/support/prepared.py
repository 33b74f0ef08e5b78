"""The command `prepare.py`, run as users run it, and images for it."""

import cv2
import numpy as np

from tests.support.forked_commands import call


def prepare(data_rootdir, *arguments):
    """(exit code, stdout, stderr) of the command."""
    words = (f"--data_rootdir={data_rootdir}", *arguments)
    done = call("prepare.py", *words, cwd=data_rootdir.parent)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((24, 32, 3), 90, np.uint8))
    return path
