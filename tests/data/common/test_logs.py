"""The project's logger, as a program has it that has not set up logging, and as one that has."""

import subprocess
import sys

from tests.support.places import ROOT

CODE = """
import logging
from absl import logging as absl_logging
from data.common.logs import logger, unconfigured
logger.warning("first")
with unconfigured():
    absl_logging.info("a SavedModel is written")  # which gives the root logger a handler
logger.warning("second")
logging.basicConfig(format="%(name)s %(message)s")
with unconfigured():
    absl_logging.info("another one")
logger.warning("third")
"""


def test_nothing_is_said_until_logging_is_set_up():
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "endoscopy_msn third\n")
