"""Sends what a run directory has to a tracker: each row and file once, as soon as it is there.

What is to be sent is read from the files of the run, so that a tracker that is away misses nothing.
"""

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from functools import cached_property

from data.common.errors import one_line
from data.common.logs import logger
from data.storage.paths import AnyPath
from msn.tracking.contents import Contents, is_begun, is_complete, read_contents
from msn.tracking.record import Record
from msn.tracking.trackers import open_tracker, tracker_names

RUNNING, COMPLETE, STOPPED, FAILED = "running", "complete", "stopped", "failed"
ANSWERING_SECONDS = 15.0  # that a run which has ended waits for a tracker which says nothing
AGAIN_SECONDS = 600.0  # after such silence, the runs that end meanwhile do not wait for it

_silent: dict[str, float] = {}  # tracker -> since when this process has known it to say nothing


class Sender:
    """Sends a run directory to one tracker.

    Args:
      folder: the run directory.
      name: of the tracker, one of `TRACKERS`.

    Attributes:
      is_given_up: set where nobody waits any more: then nothing more is sent, and nothing said.
    """

    def __init__(self, folder: AnyPath, name: str):
        self.folder, self.name, self.is_given_up = folder, name, False
        self._run, self._asked = None, None

    @property
    def silence(self) -> float:
        """Seconds that the tracker has been asked and has not answered, but for files; else 0."""
        asked = self._asked
        return 0.0 if asked is None else time.monotonic() - asked

    @cached_property
    def _record(self) -> Record:
        """Read when something is sent: until it has the folder, another process may write it."""
        return Record.of(self.folder, self.name)

    def send(self, status: str) -> int:
        """Sends what was not sent before, and how the run stands; of a COMPLETE one, files too.

        Returns:
          how many rows were sent.

        Raises:
          what its client raises: the tracker cannot be reached, or refuses. What it has is noted,
            and the next call sends the rest.
          InputError: the folder is damaged.
        """
        record = self._record
        contents = read_contents(self.folder, record.step, with_files=status == COMPLETE)
        if record.status == status and not self._is_new(contents):
            return 0
        try:
            if self._run is None:
                contents = self._begin(contents, status)
            for part in self._run.parts(contents.rows):
                with self._asking():
                    self._run.log(part)
                record.step = part[-1][0]
                record.write()
            if status == COMPLETE:
                self._finish(contents)
            with self._asking() if status == RUNNING else contextlib.nullcontext():
                self._run.set_status(status)  # at its end, W&B's client sends what it has kept
        except BaseException:
            self._run = None  # it is asked anew what it has
            raise
        record.status = status
        record.write()
        return len(contents.rows)

    def _is_new(self, contents: Contents) -> bool:
        files = self._record.changed(contents.files | contents.encoder)
        return bool(contents.rows or files or contents.scores != self._record.scores)

    def _begin(self, contents: Contents, status: str) -> Contents:
        """Opens the run in the tracker, made if it does not know it; returns what it has not."""
        record = self._record
        record.write()  # its key must be known before the tracker knows it
        tracker = open_tracker(self.name)  # its import takes seconds on a busy machine
        with self._asking():
            self._run = tracker.begin(self.folder, record.key, contents)
            known = self._run.last_step(contents.rows)
        if not record.status:
            logger.info("%s: %s", self.name, without_credentials(self._run.address))
        if self._run.is_new and record.status:
            logger.warning("%s does not have this run any more: all of it is sent", self.name)
            record.forget()
        elif known is not None:
            record.step = known
        return read_contents(self.folder, record.step, with_files=status == COMPLETE)

    def _finish(self, contents: Contents) -> None:
        """Sends scores, files and the encoder that are new."""
        record = self._record
        if contents.scores != record.scores:
            with self._asking():
                self._run.add_scores(contents.scores)
            record.scores = contents.scores
        for files, add in (
            (record.changed(contents.files), self._run.add_files),
            (record.changed(contents.encoder), self._run.add_encoder),
        ):
            if files:
                add(files)  # as long as it takes: its client waits for no silent server
                record.add_files(files)

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Context in which the tracker is asked; its end is the answer, unless nobody waits."""
        self._asked = time.monotonic()
        try:
            yield
        finally:
            self._asked = None
        if self.is_given_up:  # another process may send it meanwhile
            raise TimeoutError("answered too late")
        _silent.pop(self.name, None)


def without_credentials(text: str) -> str:
    """A text with addresses, as logs may have it: http://user:secret@host is http://host."""
    return re.sub(r"(\w+://)[^/\s@]*@", r"\1", text)


def try_to_send(sender: Sender, status: str, then: str, is_away: bool = False) -> bool:
    """Whether a tracker took what there is; says where it did not, and when it does again.

    Args:
      then: what is said to happen after a failure.
      is_away: whether the last try failed, which was said.
    """
    if not is_begun(sender.folder):
        return True
    try:
        number = sender.send(status)
    except Exception as error:  # noqa: BLE001 (a client may raise anything; the run goes on)
        if not (is_away or sender.is_given_up):
            reason = without_credentials(one_line(error))
            logger.warning("%s: nothing can be sent (%s); %s", sender.name, reason, then)
        return False
    if is_away:
        logger.warning("%s: reached again, and the missing %d rows are sent", sender.name, number)
    return True


def send_finished(folder: AnyPath, track: str, is_patient: bool = False) -> bool:
    """Sends a run directory that nothing writes to; False where a tracker did not take it.

    Args:
      folder: of pre-training, an experiment, a low-shot grid or a comparison.
      track: names of trackers, as `config.track`.
      is_patient: whether a tracker that says nothing is waited for as long as its client does it.
        Else it is ANSWERING_SECONDS, and nothing for AGAIN_SECONDS after one was silent so long.
        What answers is waited for until it has all.
    """
    then, seconds = later(folder), None if is_patient else ANSWERING_SECONDS
    status = COMPLETE if is_complete(folder) else STOPPED
    taken = []
    for sender in [Sender(folder, name) for name in tracker_names(track)]:
        if not (is_patient or may_answer(sender.name)):
            continue
        sending = threading.Thread(
            target=lambda one: taken.append(try_to_send(one, status, then)),
            args=[sender],
            name=f"to {sender.name}",
            daemon=True,
        )
        sending.start()
        wait_for(sending, sender, seconds)
    return len(taken) == len(tracker_names(track)) and all(taken)


def wait_for(sending: threading.Thread, sender: Sender, seconds: float | None) -> None:
    """Waits for a thread that sends; not longer than `seconds` where the tracker says nothing."""
    while sending.is_alive():
        sending.join(0.1)
        if seconds is not None and sender.silence > seconds:
            sender.is_given_up = True
            if may_answer(sender.name):  # else it was said
                _silent[sender.name] = time.monotonic()
                logger.warning(
                    "%s: no answer within %g seconds; runs that end in the next %g minutes do not "
                    "wait for it; %s",
                    *(sender.name, seconds, AGAIN_SECONDS / 60, later(sender.folder)),
                )
            return


def may_answer(name: str) -> bool:
    """Whether no run of this process gave a tracker up in the last minutes."""
    return name not in _silent or time.monotonic() - _silent[name] > AGAIN_SECONDS


def later(folder: AnyPath) -> str:
    """What sends what a tracker has missed, in words."""
    return f"python -m msn.track {folder} sends what is missing"
