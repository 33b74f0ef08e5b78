"""Stopping by SIGTERM, between two steps, so that the work can go on later."""

import signal


class StoppedError(Exception):
    """SIGTERM stopped a run; what it needs to go on is saved."""


class StopSignal:
    """Context in which SIGTERM sets `requested` instead of ending the process."""

    def __enter__(self):
        self.requested = False
        self._previous = signal.signal(signal.SIGTERM, self._request)
        return self

    def _request(self, *_):
        self.requested = True

    def __exit__(self, *_):
        signal.signal(signal.SIGTERM, self._previous)
