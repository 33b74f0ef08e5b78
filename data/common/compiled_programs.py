"""Programs that XLA compiled, kept from one process to the next.

Compiling a training step takes as long as hundreds of steps do, at every start and every resume.
XLA can keep programs in a folder, but a file in it that is cut off ends the process, and it does
not ask which processor a program is for. So each process gets a folder of its own with hard links
to the kept programs that are whole, and what XLA adds to it is kept with a checksum in its name:

  $XDG_CACHE_HOME/endoscopy-msn/programs/<machine>/<checksum>.<XLA's name>.pb
                                                   process-<host>-<id>/<XLA's name>.pb

The variable MSN_PROGRAMS names another folder than the cache's, or is "off".
"""

import atexit
import contextlib
import hashlib
import importlib.util
import itertools
import logging
import os
import re
import shutil
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from data.common.cores import available_cores
from data.common.progress import ProgressBar

VARIABLE = "MSN_PROGRAMS"
LIMIT = 2 << 30  # bytes for one kind of machine; a large network's training step takes some 100 MB
KEEP_EVERY = 5.0  # seconds; what a killed process compiled is wanted by the next one
_PROCESS = "process-"
_FLAG = "--tf_xla_persistent_cache_directory="
_TYPES = "--tf_xla_persistent_cache_device_types=CPU,GPU"
_OURS = rf"{_FLAG}\S*/{_PROCESS}\S+ {_TYPES}"

_programs = None


def use() -> None:
    """Lets XLA use and keep programs in this process; to be called before TensorFlow is imported.

    Nothing is kept where the variable says so, where the user's own TF_XLA_FLAGS name a folder,
    where no folder can be written, and where the system does not tell its processor.
    """
    global _programs
    folder = os.environ.get(VARIABLE) or str(user_cache("programs"))
    flags = re.sub(_OURS, "", os.environ.get("TF_XLA_FLAGS", ""))  # those of a parent process
    machine = _machine(flags)
    if folder == "off" or _FLAG in flags or not machine:
        return
    store = Path(folder).expanduser().absolute() / machine
    own = store / f"{_PROCESS}{socket.gethostname()}-{os.getpid()}"
    try:
        _remove_left_behind(store)
        shutil.rmtree(own, ignore_errors=True)  # of a process that had the same number
        own.mkdir(parents=True)
    except OSError:  # a home that is read-only: compiled anew each time
        return
    os.environ["TF_XLA_FLAGS"] = f"{flags.strip()} {_FLAG}{own} {_TYPES}".strip()
    _programs = _Programs(store, own)


def wait() -> None:
    """Waits until kept programs can be used."""
    if _programs:
        _programs.linked.wait()


def announced(function: Callable, what: str, bar: ProgressBar) -> Callable:
    """The same function; its first call compiles it, which the bar shows and does not count.

    The log says how long that took, and whether the program is kept.
    """
    calls = itertools.count()

    def call(*arguments):
        if next(calls):
            return function(*arguments)
        with bar.not_counted("compiling"), compiling(what):
            return function(*arguments)

    return call


@contextlib.contextmanager
def compiling(what: str) -> Iterator[None]:
    """Context of a first call; says in the log how long it took, and whether that is kept."""
    before, start = _programs and _programs.count(), time.monotonic()
    yield
    seconds = time.monotonic() - start
    if not _programs:
        logging.info("%s: compiled in %.0f s", what, seconds)
    elif _programs.count() > before:
        logging.info("%s: compiled in %.0f s, kept", what, seconds)
    else:
        logging.info("%s: compiled program found, ready in %.0f s", what, seconds)


class _Programs:
    """The programs of this process, and those that are kept.

    Args:
      store: the folder of kept programs.
      own: the folder that XLA reads and writes in this process.

    Attributes:
      linked: set when the kept programs can be used.
    """

    def __init__(self, store: Path, own: Path):
        self._store, self._own = store, own
        self._id = os.getpid()
        self._ended = threading.Event()
        self.linked = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()  # reads while TensorFlow is imported
        atexit.register(self._close)

    def count(self) -> int:
        """How many programs this process can use: kept ones and those that it compiled."""
        return len(list(self._own.glob("*.pb")))

    def _close(self) -> None:
        if os.getpid() == self._id:  # a forked process runs this, too
            self._ended.set()
            self._thread.join()
            shutil.rmtree(self._own, ignore_errors=True)

    def _work(self) -> None:
        try:
            self._link()
        finally:
            self.linked.set()
        ended = False
        while not ended:
            ended = self._ended.wait(KEEP_EVERY)
            with contextlib.suppress(OSError):  # a full disk: used in this process all the same
                self._keep()

    def _link(self) -> None:
        for kept in sorted(self._store.glob("*.pb")):
            checksum, name = kept.name.split(".", 1)
            with contextlib.suppress(OSError):  # removed by another process meanwhile
                if checksum == _checksum(kept):
                    os.link(kept, self._own / name)
                else:  # cut off: the disk was full, or power failed
                    kept.unlink()

    def _keep(self) -> None:
        known = {kept.name.split(".", 1)[1] for kept in self._store.glob("*.pb")}
        new = [file for file in self._own.glob("*.pb") if file.name not in known]
        for file in new:  # XLA gives a file this suffix when it is whole
            os.link(file, self._store / f"{_checksum(file)}.{file.name}")
        if new:
            _remove_oldest(self._store, LIMIT)


def user_cache(kind: str) -> Path:
    """The folder in the user's cache for what can be made again."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "endoscopy-msn" / kind


def _machine(flags: str) -> str:
    """What a program holds for: the processor, its cores, GPUs, TensorFlow, and XLA's settings.

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


def _checksum(file: Path) -> str:
    return f"{zlib.crc32(file.read_bytes()):08x}"


def _remove_left_behind(store: Path) -> None:
    """Removes the folders of processes of this host that were killed."""
    for folder in store.glob(f"{_PROCESS}{socket.gethostname()}-*"):
        if not Path("/proc", folder.name.rsplit("-", 1)[1]).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _remove_oldest(store: Path, limit: int) -> None:
    files = sorted(store.glob("*.pb"), key=lambda file: -file.stat().st_mtime)
    size = 0
    for file in files:
        size += file.stat().st_size
        if size > limit:
            file.unlink(missing_ok=True)
