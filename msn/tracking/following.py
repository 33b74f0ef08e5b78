"""Sends a run to its trackers while it runs; neither slows it, nor ends it."""

import threading
import time

from data.storage.paths import AnyPath
from msn.tracking import sending
from msn.tracking.sending import (
    COMPLETE,
    FAILED,
    RUNNING,
    STOPPED,
    Sender,
    later,
    may_answer,
    try_to_send,
    wait_for,
)
from msn.tracking.trackers import tracker_names

POLL_SECONDS, RETRY_SECONDS = 5.0, 30.0  # between two looks at the run; after a failure
STOPPING_SECONDS = 10.0  # that a run which does not complete waits: batch systems kill soon


class Following:
    """Context in which a run is sent to its trackers, by a thread for each.

    A tracker that cannot be reached is named in one line, and tried again.

    Args:
      folder: the run directory, in which config.json and metrics.jsonl are or will be.
      track: names of trackers, as `config.track`.

    Attributes:
      status: how the run stands at the end: COMPLETE where it says so.
    """

    def __init__(self, folder: AnyPath, track: str):
        self.status = STOPPED
        self._folder, self._ending = folder, threading.Event()
        self._threads = {
            threading.Thread(
                target=self._follow, args=[sender], name=f"to {sender.name}", daemon=True
            ): sender
            for sender in [Sender(folder, name) for name in tracker_names(track)]
        }

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        if kind is not None and issubclass(kind, Exception):
            self.status = FAILED
        self._ending.set()
        until = time.monotonic() + STOPPING_SECONDS
        for thread, sender in self._threads.items():
            if self.status == COMPLETE:
                known_silent = not may_answer(sender.name)  # nor has it answered in this run
                wait_for(thread, sender, 0 if known_silent else sending.ANSWERING_SECONDS)
            else:
                thread.join(max(0.0, until - time.monotonic()))

    def _follow(self, sender: Sender) -> None:
        """Sends while the run runs, and what is left at its end."""
        seconds, is_away = 0.0, False
        while not self._ending.wait(seconds):
            is_away = not try_to_send(sender, RUNNING, "it is tried again", is_away)
            seconds = RETRY_SECONDS if is_away else POLL_SECONDS
        try_to_send(sender, self.status, later(self._folder))
