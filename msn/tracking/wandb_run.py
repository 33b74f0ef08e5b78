"""A run in Weights & Biases, through its client (wandb.ai).

WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE, WANDB_DIR and WANDB_API_KEY hold. Without credentials it is
written into the run directory, as with WANDB_MODE=offline, and `wandb sync` sends it.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import wandb

from data.common.machine import user_cache
from data.storage.folders import local_copy
from data.storage.paths import AnyPath, is_remote
from msn.tracking.contents import PROJECT, Contents, title_of
from msn.tracking.record import FOLDER
from msn.tracking.wandb_files import last_step

CONNECTING_SECONDS, FINISHING_SECONDS = 30, 60
FLUSH_SECONDS = 1.0  # what the client has, and has not written, goes with a killed process


def begin(folder: AnyPath, key: str, contents: Contents) -> "WandbRun":
    """The run with a key, made if there is none.

    Args:
      folder: the run directory, by which it is named.
      key: of the run.
      contents: its configuration is the run's.

    Raises:
      what the client raises: the server cannot be reached, or refuses.
    """
    name, group = title_of(folder)
    mode = os.environ.get("WANDB_MODE")
    if mode is None and not wandb.login(prompt=False, verify=False):
        mode = "offline"
    place = user_cache("wandb") if is_remote(folder) else folder / FOLDER
    place = Path(os.environ.get("WANDB_DIR") or place)
    place.mkdir(parents=True, exist_ok=True)
    before = last_step(place, key)
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT") or PROJECT,
        id=key,
        resume="allow",
        reinit="finish_previous",  # of a try that failed
        name=name,
        group=group or None,
        job_type=contents.kind,
        config=dict(contents.config),
        mode=mode,
        dir=str(place),
        settings=wandb.Settings(
            console="off",  # progress bars
            silent=True,
            init_timeout=CONNECTING_SECONDS,
            x_transaction_log_flush_interval=FLUSH_SECONDS,
            finish_timeout=FINISHING_SECONDS,
            finish_timeout_raises=True,
        ),
    )
    return WandbRun(run, before)


class WandbRun:
    """A run, as its client has it; methods raise what its client does.

    Its client keeps what it is given on the disk and sends it by itself, when it can.

    Attributes:
      is_new: whether the server did not know it; False offline, where nobody is asked.
      address: of its page, or the folder that `wandb sync` sends.
    """

    def __init__(self, run, before: int | None):
        self._run, self._before = run, before
        is_offline = run.settings.mode == "offline"
        self.is_new = not (is_offline or run.resumed)
        self.address = run.dir if is_offline else run.url

    def last_step(self, rows: Sequence) -> int | None:
        """The last step that the server has, or offline files have; None where nobody knows."""
        if self._run.settings.mode == "offline":
            return self._before
        return self._run.step - 1 if self._run.resumed else 0

    def parts(self, rows: Sequence) -> Iterator[Sequence]:
        """All rows at once: they go to the client."""
        if rows:
            yield rows

    def log(self, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Adds rows to the curves."""
        for step, row in rows:
            self._run.log(dict(row), step=step)

    def add_scores(self, scores: Mapping[str, float]) -> None:
        """Adds what was measured at the end."""
        self._run.summary.update(dict(scores))

    def add_files(self, files: Mapping[str, AnyPath]) -> None:
        """Adds pictures and pages to the run's page, and all files as an artifact."""
        media = {}
        for name, path in files.items():
            with local_copy(path) as file:
                if path.suffix == ".png":
                    media[name] = wandb.Image(str(file))
                elif path.suffix == ".html":
                    media[name] = wandb.Html(file.read_text(encoding="utf-8"))
        if media:
            self._run.log(media)
        self._add_artifact("results", files)

    def add_encoder(self, files: Mapping[str, AnyPath]) -> None:
        """Adds the files of an encoder, with its card, as a model."""
        self._add_artifact("model", files)

    def set_status(self, status: str) -> None:
        """Says how the run stands; what is not running any more is ended, and waited for."""
        if status == "running":
            return
        if status == "stopped":
            self._run.mark_preempting()
        self._run.finish(exit_code=0 if status == "complete" else 1)

    def _add_artifact(self, kind: str, files: Mapping[str, AnyPath]) -> None:
        artifact = wandb.Artifact(f"{kind}-{self._run.id}", type=kind)
        for name, path in files.items():
            with local_copy(path) as file:
                artifact.add_file(str(file), name=name)
        self._run.log_artifact(artifact)
