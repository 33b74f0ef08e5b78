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
import errno
import functools
import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from data.common.errors import InputError, one_line, reason_of
from data.common.logs import logger
from data.common.machine import kind_of_machine, user_cache
from data.common.progress import ProgressBar

VARIABLE = "MSN_PROGRAMS"
TRIAL_SECONDS = 300  # that a process may take to import TensorFlow and compile a small program
RETRY_AFTER = 24 * 3600  # seconds; a trial that failed is made again, as drivers change
LIMIT = 2 << 30  # bytes for one kind of machine; a large network's training step takes some 100 MB
ROOM = 256 << 20  # bytes that a disk has to have free, for programs to be kept
QUOTA = 1 << 20  # bytes written to see whether a quota, of which a disk does not tell, is used up
KEEP_EVERY = 5.0  # seconds; what a killed process compiled is wanted by the next one
_PROCESS = "process-"
_FLAG = "--tf_xla_persistent_cache_directory="
_TYPES = "--tf_xla_persistent_cache_device_types=CPU,GPU"
_OURS = rf"{_FLAG}\S*/{_PROCESS}\S+ {_TYPES}"

_programs = None


def use() -> None:
    """Lets XLA use and keep programs in this process; to be called before TensorFlow is imported.

    Nothing is kept where the variable says so, where the user's own TF_XLA_FLAGS name a folder,
    where no folder can be written or the disk is full, and where the system does not tell its
    processor.
    """
    global _programs
    folder = os.environ.get(VARIABLE) or str(user_cache("programs"))
    flags = _other_flags()  # a parent process may have added its own
    machine = kind_of_machine(flags)
    if folder == "off" or _FLAG in flags or not machine:
        return
    store = Path(folder).expanduser().absolute() / machine
    own = store / f"{_PROCESS}{socket.gethostname()}-{os.getpid()}"
    try:
        _remove_left_behind(store)
        shutil.rmtree(own, ignore_errors=True)  # of a process that had the same number
        own.mkdir(parents=True)
        _try_to_write(own)
    except OSError as error:  # a home that is read-only or full: compiled anew each time
        shutil.rmtree(own, ignore_errors=True)
        reason = reason_of(error)
        logger.info("%s: compiled programs are not kept (%s)", store, reason)
        return
    os.environ["TF_XLA_FLAGS"] = f"{flags} {_FLAG}{own} {_TYPES}".strip()
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
        logger.info("%s: compiled in %.0f s", what, seconds)
    elif _programs.count() > before:
        logger.info("%s: compiled in %.0f s, kept", what, seconds)
    else:
        logger.info("%s: compiled program found, ready in %.0f s", what, seconds)


@functools.cache
def xla_works() -> bool:
    """Whether XLA can compile for the devices of this machine; says in the log why not.

    For a GPU that XLA does not know, LLVM ends the process (compute capability 12 with TensorFlow
    2.21, tensorflow#111958). So a process of its own compiles a small program first, and what came
    of it is noted for this kind of machine. Where neither a GPU nor the user's own XLA_FLAGS can
    go wrong, nothing is tried, nor is anything concluded where the GPU's memory is taken.
    """
    import tensorflow as tf

    if not (tf.config.list_physical_devices("GPU") or os.environ.get("XLA_FLAGS")):
        return True
    machine = kind_of_machine(_other_flags())
    note = user_cache("xla_works") / machine
    reason = _noted(note) if machine else None
    if reason is None:
        reason = _trial()
        if re.search("out of memory|RESOURCE_EXHAUSTED", reason):
            return True
        with contextlib.suppress(OSError):  # a home that is read-only: tried anew each time
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(reason)
    if reason:
        logger.warning("XLA does not compile here (%s); everything runs without it", reason)
    return not reason


def compiles_with_xla(choice: bool | str) -> bool:
    """Whether XLA compiles the training step; raises `InputError` if it must, and cannot."""
    if choice is True and not xla_works():
        raise InputError(
            'compile_with_xla is True: XLA cannot compile here; expected "auto" or False'
        )
    return xla_works() if choice == "auto" else bool(choice)


def _noted(note: Path) -> str | None:
    """What an earlier trial said; None where there was none, or it failed over a day ago."""
    try:
        reason, age = note.read_text(), time.time() - note.stat().st_mtime
    except OSError:
        return None
    return reason if not reason or age < RETRY_AFTER else None


def product_compiles(device: str) -> str:
    """Lets XLA compile a product for a device, as "GPU:0"; what went wrong, or ""."""
    import tensorflow as tf

    @tf.function(jit_compile=True, autograph=False)
    def product(x):
        return tf.linalg.matmul(x, x)

    try:
        with tf.device(device):
            result = product(2.0 * tf.eye(64))
    except tf.errors.OpError as error:
        return one_line(error)
    return "" if bool(tf.reduce_all(result == 4.0 * tf.eye(64))) else "its product is wrong"


def _trial() -> str:
    """Why a process of its own cannot compile for some device; "" where it can for all."""
    script = (
        "import sys, tensorflow as tf; from data.common.compiled_programs import product_compiles\n"
        "devices = tf.config.list_logical_devices('GPU') or tf.config.list_logical_devices('CPU')\n"
        "sys.exit(next(filter(None, (product_compiles(one.name) for one in devices)), 0))"
    )
    # Of a GPU's memory it takes what it needs; by default TensorFlow takes all.
    settings = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "TF_XLA_FLAGS": _other_flags()}
    try:
        ended = subprocess.run(
            [sys.executable, "-c", script],
            cwd=Path(__file__).resolve().parents[2],
            env=os.environ | settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TRIAL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"no answer in {TRIAL_SECONDS} s"
    if not ended.returncode:
        return ""
    lines = [line for line in ended.stderr.splitlines() if line.strip()]
    fatal = [line for line in lines if re.search(r"LLVM ERROR|^F\d{4}", line)]
    reason = (fatal or lines or [f"exit code {ended.returncode}"])[-1].strip()
    return re.sub(r"^F\d{4} .*?\] ", "", reason)[-200:]


def _other_flags() -> str:
    """TF_XLA_FLAGS without what `use` adds."""
    return re.sub(_OURS, "", os.environ.get("TF_XLA_FLAGS", "")).strip()


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


def _try_to_write(folder: Path) -> None:
    """Raises `OSError` where a folder has no room: XLA would end what it compiles for."""
    if shutil.disk_usage(folder).free < ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    trial = folder / "trial"
    trial.write_bytes(bytes(QUOTA))
    trial.unlink()


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
