"""Looks at the machine and the installation: one page, the first thing that a bug report needs.

  python -m msn.doctor

Each line ends with OK, or with what to do. Nothing is changed and nothing is fetched. It runs where
packages are missing or broken, too: modules that need them are imported where they are looked at.
"""

if __name__ == "__main__":  # before what takes long to import
    from data.common import stopping

    stopping.end_at_once()

import importlib.metadata
import itertools
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from data.common.errors import InputError, one_line
from data.common.machine import available_cores

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ((3, 11), (3, 13))  # the first and the last that requirements.txt was tested on
SMALLEST_MEMORY, SMALLEST_DISK = 8, 10  # GB: the demo needs a half of it
# What recorders and hospitals write, and the filter for interlaced pictures.
DECODERS = ("h264", "hevc", "mpeg2video", "mpeg4", "vc1", "mjpeg", "vp9", "av1")
IMAGES = (".png", ".jpg", ".tiff", ".webp", ".bmp")
VARIABLES = (
    *("CUDA_VISIBLE_DEVICES", "KERAS_BACKEND", "TF_CONFIG", "TF_XLA_FLAGS", "XLA_FLAGS"),
    *("TF_CPP_MIN_LOG_LEVEL", "MSN_PROGRAMS", "KERAS_HOME", "SLURM_JOB_ID"),
)
# (package, what it is for)
EXTRAS = (
    ("s3fs", "s3:// paths"),
    ("gcsfs", "gs:// paths"),
    ("adlfs", "az:// paths"),
    ("huggingface_hub", "hf:// encoders"),
    ("onnxruntime", "ONNX encoders"),
    ("umap-learn", "UMAP in maps"),
)
OK = "OK"

Line = tuple[str, str, str]  # what it is about, what was found, OK or what to do


def main() -> int:
    """Runs the command and returns its exit code."""
    ill = 0
    for title, parts in (
        ("System", [system]),
        ("Packages", [packages]),
        ("Files", [folders, programs]),
        ("Decoders", [videos, images]),
        ("TensorFlow", [devices]),
    ):
        print(title)
        for what, found, verdict in itertools.chain.from_iterable(map(tried, parts)):
            ill += verdict not in (OK, "")
            print(f"  {what:<22} {found:<44} {verdict}".rstrip(), flush=True)
    print(
        f"\n{ill} {'line says' if ill == 1 else 'lines say'} what to do" if ill else "\nall is well"
    )
    return 1 if ill else 0


def tried(part: Callable[[], Iterator[Line]]) -> Iterator[Line]:
    """The lines of a part of the page; where it breaks off, the last one says why."""
    try:
        yield from part()
    except InputError as error:
        yield part.__name__, one_line(error), "see there"
    except Exception as error:  # noqa: BLE001 (a package that does not fit raises anything)
        is_missing = isinstance(error, ModuleNotFoundError) and "." not in (error.name or "")
        advice = "make setup" if is_missing else "remove .venv, then make setup"  # half a package
        yield part.__name__, f"{type(error).__name__}: {one_line(error)}", advice


def system() -> Iterator[Line]:
    """The operating system, Python, processor, memory and the variables that change what is run."""
    yield "system", platform.platform(), ""
    version = sys.version_info[:2]
    tested = PYTHONS[0] <= version <= PYTHONS[1]
    found = f"{platform.python_version()}, {sys.executable}"
    yield "Python", found, OK if tested else "expected 3.11 to 3.13"
    cpu = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", cpu.read_text()) if cpu.is_file() else None
    yield "processor", f"{model[1] if model else platform.machine()}, {available_cores()} cores", ""
    total, free = memory()
    verdict = OK if total >= SMALLEST_MEMORY else f"expected {SMALLEST_MEMORY} GB or more"
    yield "memory", f"{total:.0f} GB, {free:.0f} GB of it free", verdict if total else ""
    for name in VARIABLES:
        if name in os.environ:
            yield name, os.environ[name], ""


def memory() -> tuple[float, float]:
    """Memory that this process may use and what is free of it, GB; (0, 0) where nothing tells."""
    table = Path("/proc/meminfo")
    if not table.is_file():
        return 0.0, 0.0
    kilobytes = dict(re.findall(r"(\w+):\s*(\d+) kB", table.read_text()))
    total, free = (int(kilobytes[name]) / 1e6 for name in ("MemTotal", "MemAvailable"))
    limit = Path("/sys/fs/cgroup/memory.max")  # of a container or a batch job
    if limit.is_file() and limit.read_text().strip().isdigit():
        total = min(total, int(limit.read_text()) / 1e9)
    return total, min(total, free)


def packages() -> Iterator[Line]:
    """What requirements.txt asks for beside what is installed, and the extras."""
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if pinned := re.match(r"([\w.-]+)==([\w.]+)", line):
            name, expected = pinned.groups()
            found = installed(name)
            verdict = OK if found == expected else f"expected {expected}: make setup"
            yield name, found or "not installed", verdict
    for name, purpose in EXTRAS:
        yield name, f"{installed(name) or 'not installed'} ({purpose})", ""


def installed(name: str) -> str:
    """The version of an installed package; "" where there is none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def folders() -> Iterator[Line]:
    """Folders that are written to: the present one, and the temporary one."""
    yield folder_line("current folder", Path.cwd())
    yield folder_line("temporary files", Path(tempfile.gettempdir()))


def programs() -> Iterator[Line]:
    """The folder of the programs that XLA compiled, and how much is kept in it."""
    from data.common.compiled_programs import VARIABLE
    from data.common.machine import user_cache

    place = os.environ.get(VARIABLE) or user_cache("programs")
    if place == "off":
        yield "compiled programs", "switched off", ""
        return
    folder = Path(place).expanduser()
    size = sum(file.stat().st_size for file in folder.glob("*/*.pb"))
    yield folder_line("compiled programs", folder, f", {size / 1e9:.1f} GB kept")


def folder_line(what: str, folder: Path, more: str = "") -> Line:
    """Whether there is space in a folder, which need not exist, and whether it may be written."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free / 1e9
    verdict = OK if free >= SMALLEST_DISK else f"expected {SMALLEST_DISK} GB free or more"
    if not os.access(there, os.W_OK | os.X_OK):
        verdict = "expected a folder that you may write to"
    return what, f"{folder}, {free:,.0f} GB free{more}", verdict


def videos() -> Iterator[Line]:
    """Codecs and filters of PyAV's FFmpeg."""
    import av

    yield "PyAV", f"{av.__version__}, FFmpeg {av.ffmpeg_version_info}", ""
    missing = [name for name in DECODERS if name not in av.codecs_available]
    found = ", ".join(name for name in DECODERS if name not in missing)
    yield "videos", found, f"no decoder of {', '.join(missing)}" if missing else OK
    has_filter = "bwdif" in av.filter.filters_available
    yield (
        "interlaced videos",
        "bwdif" if has_filter else "no bwdif",
        OK if has_filter else "reinstall av",
    )


def images() -> Iterator[Line]:
    """An image of each format, written and read."""
    import cv2
    import numpy as np

    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    failed = []
    for suffix in IMAGES:
        written, content = cv2.imencode(suffix, image)
        read = cv2.imdecode(content, cv2.IMREAD_COLOR) if written else None
        if read is None or read.shape != image.shape:
            failed.append(suffix)
    verdict = f"{', '.join(failed)}: cannot be read" if failed else OK
    yield "images", ", ".join(s for s in IMAGES if s not in failed), verdict


def devices() -> Iterator[Line]:
    """TensorFlow's devices, each tried with a small program that XLA compiles."""
    from data.common import cli, compiled_programs

    cli.import_tensorflow()
    import keras
    import tensorflow as tf

    yield "backend of Keras", keras.backend.backend(), ""
    yield "built for GPUs", "yes" if tf.test.is_built_with_gpu_support() else "no", ""
    for device in tf.config.list_logical_devices():
        details = [
            tf.config.experimental.get_device_details(one).get("device_name", "")
            for one in tf.config.list_physical_devices(device.device_type)
        ]
        found = ", ".join(filter(None, dict.fromkeys(details))) or device.device_type
        if compiled_programs.xla_works():  # where it does not, it may end the process
            reason = compiled_programs.product_compiles(device.name)
        else:
            reason = "said above"
        advice = f"XLA does not compile here ({reason}); everything runs without it, more slowly"
        yield device.name.removeprefix("/device:"), found, advice if reason else OK


def run() -> None:
    """The command; without the packages that read a command line, the page alone."""
    try:
        from data.common import cli
    except ImportError:  # the page says which
        sys.exit(main())
    cli.run(main, wrong_input=())


if __name__ == "__main__":
    run()
