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


CHILD = """
import os, sys
for number in range(3):
    assert os.path.samestat(os.fstat(number), os.stat(os.devnull)), number
assert os.open(sys.argv[0], os.O_RDONLY) > 2
"""


def test_a_process_that_is_started_gets_what_stands_for_closed_streams(tmp_path):
    """Else the first file that it opens has the number of a stream, and what is written to that."""
    (tmp_path / "child.py").write_text(CHILD)
    (tmp_path / "parent.py").write_text(
        "import subprocess, sys\n"
        "from data.common.logs import open_standard_streams\n"
        "open_standard_streams()\n"
        f"sys.exit(subprocess.call([sys.executable, {str(tmp_path / 'child.py')!r}]))\n"
    )
    command = f"PYTHONPATH={ROOT} {sys.executable} {tmp_path}/parent.py <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", command], timeout=60).returncode == 0
