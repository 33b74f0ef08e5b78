"""A stand-in for Slurm: its variables, its processes, its signal and its queue; nothing else.

`sbatch` reads a batch file's #SBATCH lines and runs it with bash; `srun` and `scontrol`, found
first on its PATH, start as many processes as the lines say, all on this machine, and note what is
put into the queue again.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

SRUN = """#!{python}
import os, signal, subprocess, sys
command = [word for word in sys.argv[1:]]
while command[0].startswith("--"):
    command.pop(0)
number = int(os.environ["SLURM_NTASKS"])
step = dict(SLURM_STEP_NUM_TASKS=str(number), SLURM_STEP_TASKS_PER_NODE=str(number),
            SLURM_STEP_NODELIST="localhost")
tasks = [
    subprocess.Popen(command, env=os.environ | step | {{"SLURM_PROCID": str(n)}})
    for n in range(number)
]
signal.signal(signal.SIGUSR1, lambda *_: [task.send_signal(signal.SIGUSR1) for task in tasks])
open(os.environ["STAND_IN"] + "/srun.pid", "w").write(str(os.getpid()))
sys.exit(max(task.wait() for task in tasks))
"""
SCONTROL = """#!/bin/sh
echo "$@" >> "$STAND_IN/queue"
"""


def sbatch(
    folder: Path, script: Path, *arguments: str, ntasks: int | None = None, **variables: str
) -> subprocess.Popen:
    """Starts a batch file as job 40123, in this process's working directory.

    Args:
      folder: receives srun, scontrol, and what they note.
      script: the batch file.
      arguments: of it.
      ntasks: overrides its #SBATCH lines, as on sbatch's command line.
      variables: more of Slurm's, as of an array.
    """
    folder.mkdir(exist_ok=True)
    for name, text in (("srun", SRUN.format(python=sys.executable)), ("scontrol", SCONTROL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "srun.pid").unlink(missing_ok=True)
    asked = options(script)
    tasks = ntasks or int(asked.get("ntasks") or asked["ntasks-per-node"]) * int(asked["nodes"])
    environment = os.environ | variables
    environment |= {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHON": sys.executable}
    environment |= {"SLURM_JOB_ID": "40123", "SLURM_NTASKS": str(tasks), "STAND_IN": str(folder)}
    return subprocess.Popen(["bash", str(script), *arguments], env=environment)


def options(script: Path) -> dict[str, str]:
    """What a batch file's #SBATCH lines ask for, {"nodes": "2", ...}."""
    lines = re.findall(r"^#SBATCH (.*)$", script.read_text(), re.MULTILINE)
    words = [word for line in lines for word in shlex.split(line, comments=True)]
    return dict(word.removeprefix("--").partition("=")[::2] for word in words)


def send_signal(folder: Path) -> None:
    """Sends srun's processes the signal that a job gets before its time is over."""
    os.kill(int((folder / "srun.pid").read_text()), signal.SIGUSR1)


def queued_again(folder: Path) -> list[str]:
    """The commands of scontrol so far."""
    notes = folder / "queue"
    return notes.read_text().splitlines() if notes.exists() else []
