"""The machine that a process runs on: its cores, its kind, and the user's cache on it."""

import hashlib
import importlib.util
import os
import re
from pathlib import Path


def available_cores() -> int:
    """Cores that this process may use: batch systems give it fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def user_cache(kind: str) -> Path:
    """The folder in the user's cache for what can be made again.

    It can be nowhere, and nothing kept in it, where the user has no home, as in some containers.
    """
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME", "")).expanduser()
        if not cache.is_absolute():  # which its specification has ignored
            cache = Path.home() / ".cache"
    except RuntimeError:
        cache = Path(os.devnull)
    return cache / "endoscopy-msn" / kind


def kind_of_machine(flags: str) -> str:
    """What a compiled program holds for: processor, cores, GPUs, TensorFlow and XLA's settings.

    Empty where the system does not tell the processor's instruction set, and without TensorFlow.
    Homes are shared by machines, and a program for another processor ends the process.
    """
    try:
        processor = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return ""
    facts = re.findall(r"^(?:model name|flags|Features|CPU).*", processor, re.MULTILINE)
    driver = Path("/proc/driver/nvidia")
    for path in (*driver.glob("version"), *sorted(driver.glob("gpus/*/information"))):
        facts += re.findall(r"^(?:NVRM|Model).*", path.read_text(), re.MULTILINE)
    tensorflow = importlib.util.find_spec("tensorflow")  # of whichever package
    if tensorflow is None:  # its import will say so
        return ""
    facts += [tensorflow.origin, str(Path(tensorflow.origin).stat().st_mtime)]
    facts += [str(available_cores()), flags, os.environ.get("XLA_FLAGS", "")]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
