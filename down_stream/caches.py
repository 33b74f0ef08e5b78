"""What can be made again, and old checkpoints: where they lie, how large and how old they are.

  python -m down_stream.caches                            of the user: programs, features, clocks
  python -m down_stream.caches runs datasets/ours         and of runs and datasets, in any folder
  python -m down_stream.caches runs --remove=features,checkpoints --unused_days=30

Nothing is removed without --remove. Of the checkpoints in a folder, the newest that is whole, from
which a run goes on, is never listed and never removed, nor is what is newer.

  programs      that XLA compiled, of each kind of machine
  clocks        time stamps of videos, and tables of record files, beside datasets or of the user
  images        which images of a dataset were found to be whole
  features      of frozen encoders, of the user or in a feature_cache
  checkpoints   of pre-training and fine-tuning, but for the newest; those of keep_every, too
"""

if __name__ == "__main__":  # before what takes long to import
    from data.common import stopping

    stopping.end_at_once()

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from absl import flags

from data.archives.room import say_bytes
from data.common import cli
from data.common.compiled_programs import VARIABLE
from data.common.errors import InputError
from data.common.machine import user_cache
from data.images.completeness import WHOLE_IMAGES
from data.images.states import READ_VIDEOS
from data.storage.locking import locked
from data.storage.paths import check_local
from msn.workdir.checkpoint_files import checkpoints, open_state, step_of

KINDS = ("programs", "clocks", "images", "features", "checkpoints")
PASSED_OVER = {"frames", "cropped", "videos", "saved_model"}  # large, and without caches
_ENCODER = re.compile(r"[0-9a-f]{32}")  # the folder of an encoder's features
IMAGES = {WHOLE_IMAGES, READ_VIDEOS}
_ENTRY = re.compile(r".+-[0-9a-f]{32}\.npy")
_CHECKPOINTS = "checkpoints"  # as msn.workdir.run_directory names it, whose import takes seconds
_CHECKPOINT = re.compile(r"step_\d{8,}\.safetensors")
_MACHINE = re.compile(r"[0-9a-f]{16}")  # the folder of one kind of machine's programs
_PROGRAM = re.compile(r"[0-9a-f]{8}\..+\.pb")
_DAY = 24 * 3600


Found = Iterator[tuple[str, Path, list[Path], str]]  # kind, folder, files, remark


@dataclass(frozen=True)
class Group:
    """Files of one kind in one folder.

    Attributes:
      kind: as the module has it.
      folder: where they are.
      files: with sizes in bytes and times of the last use in seconds.
      remark: what a reader should know; "" for nothing.
    """

    kind: str
    folder: Path
    files: tuple[tuple[Path, int, float], ...]
    remark: str = ""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(size for _, size, _ in self.files)

    @property
    def used(self) -> float:
        """When one of them was last used."""
        return max(used for *_, used in self.files)


def find_groups(places: list[Path], unused_days: float = 0) -> list[Group]:
    """The caches of the user and those below some folders, and old checkpoints there.

    Args:
      places: run directories, datasets, folders of features, or folders with any of these.
      unused_days: files that were used since are left out.

    Raises:
      InputError: a place is no folder.
    """
    for place in places:
        check_local("caches", place)
        if not place.is_dir():
            raise InputError(f"{place}: no such folder; expected runs or datasets")
    found = [*_of_user(), *(group for place in places for group in _below(place))]
    before, groups = time.time() - unused_days * _DAY, {}
    for kind, folder, files, remark in found:
        states = ((file, file.stat()) for file in files)
        rows = tuple((f, s.st_size, s.st_mtime) for f, s in states if s.st_mtime <= before)
        if rows:
            groups[kind, folder.resolve()] = Group(kind, folder, rows, remark)
    return sorted(groups.values(), key=lambda group: (KINDS.index(group.kind), str(group.folder)))


def _of_user() -> Found:
    programs = os.environ.get(VARIABLE) or str(user_cache("programs"))
    if programs != "off":
        for machine in _folders(Path(programs).expanduser()):
            if _MACHINE.fullmatch(machine.name):  # the folder may be one with other things in it
                files = [file for file in machine.glob("*.pb") if _PROGRAM.fullmatch(file.name)]
                yield "programs", machine, files, ""
    for encoder in _folders(user_cache("features")):
        yield from _features(encoder, [file.name for file in encoder.glob("*.npy")])
    clocks = user_cache("clocks")
    yield "clocks", clocks, [file for file in clocks.rglob("*") if file.is_file()], ""


def _below(place: Path) -> Found:
    for name, folders, names in os.walk(place):
        folders[:] = sorted(set(folders) - PASSED_OVER)
        folder = Path(name)
        yield from _features(folder, names)
        clocks = {n for n in names if n == ".frames.npz" or re.fullmatch(r"\.clocks-.*\.npz", n)}
        yield "clocks", folder, [folder / name for name in sorted(clocks)], ""
        yield "images", folder, [folder / name for name in names if name in IMAGES], ""
        yield "checkpoints", folder, *_old_checkpoints(folder)


def _features(folder: Path, names: list[str]) -> Found:
    """The features of an encoder, if a folder with files of these names has some."""
    if _ENCODER.fullmatch(folder.name):
        entries = [folder / entry for entry in names if _ENTRY.fullmatch(entry)]
        yield "features", folder, entries, ""


def _old_checkpoints(folder: Path) -> tuple[list[Path], str]:
    """Those before the newest that is whole, and which that is."""
    if folder.name != _CHECKPOINTS:
        return [], ""
    files = [file for file in checkpoints(folder) if _CHECKPOINT.fullmatch(file.name)]
    for place, file in reversed([*enumerate(files)]):
        if _is_whole(file):
            return files[:place], f"all before step {step_of(file)}"
    return [], ""


def _is_whole(file: Path) -> bool:
    try:
        with open_state(file):
            return True
    except InputError:
        return False


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.glob("*") if path.is_dir())


def remove(groups: list[Group]) -> tuple[int, list[str]]:
    """Removes the files of some groups, but for checkpoints of runs that are being written.

    Returns:
      The bytes that were removed, and a line for each run whose checkpoints stay.
    """
    removed, writing = 0, []
    for group in groups:
        is_run = group.kind == "checkpoints"
        try:
            with locked(group.folder.parent) if is_run else contextlib.nullcontext():
                for file, *_ in group.files:
                    file.unlink(missing_ok=True)
        except InputError as error:  # another process has the lock
            writing.append(str(error))
            continue
        removed += group.size
        if group.kind == "features":
            with contextlib.suppress(OSError):  # something else is in it
                group.folder.rmdir()
    return removed, writing


def table(groups: list[Group]) -> str:
    """The groups, a line each, and their sum."""
    lines = [f"{'':12}{'size':>10}{'files':>8}{'last used':>16}  folder"]
    for group in groups:
        said = f"{group.folder}{f', {group.remark}' if group.remark else ''}"
        ago = _ago(time.time() - group.used)
        size = say_bytes(group.size)
        lines.append(f"{group.kind:12}{size:>10}{len(group.files):>8}{ago:>16}  {said}")
    number = sum(len(group.files) for group in groups)
    lines.append(f"{'all':12}{say_bytes(sum(g.size for g in groups)):>10}{number:>8}")
    return "\n".join(lines)


def _ago(seconds: float) -> str:
    for unit, length in (("days", _DAY), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return "just now"


def main(*places: str) -> None:
    """Lists, and removes what is asked for."""
    wanted = flags.FLAGS.remove or []
    if wrong := sorted(set(wanted) - {*KINDS}):
        raise InputError(f"--remove={','.join(wrong)}: expected some of {', '.join(KINDS)}")
    groups = find_groups([Path(place) for place in places], flags.FLAGS.unused_days)
    print(table(groups))
    if not wanted:
        print(f"nothing was removed; --remove={','.join(KINDS)}, or some of these, does that")
        return
    chosen = [group for group in groups if group.kind in wanted]
    removed, writing = remove(chosen)
    for line in writing:
        print(f"kept: {line}")
    print(f"removed: {say_bytes(removed)} ({', '.join(wanted)})")


if __name__ == "__main__":
    flags.DEFINE_list("remove", None, f"which of these to remove: {', '.join(KINDS)}")
    flags.DEFINE_float(
        "unused_days", 0, "leave out files that were used in the last so many days", lower_bound=0
    )
    cli.run(main, wrong_input=(InputError,), positional="[FOLDER ...]")
