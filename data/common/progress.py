"""Progress: a bar in a terminal and in a notebook, a line a minute in a log.

The variable TQDM_DISABLE=1 turns both off.
"""

import contextlib
import sys
import time
from collections.abc import Iterator

from tqdm.auto import tqdm  # in a notebook, its own bar
from tqdm.autonotebook import tqdm as bar_of_place
from tqdm.std import tqdm as bar_of_terminal

from data.common.logs import logger

LINE_SECONDS = 60  # between two lines of a log
IN_NOTEBOOK = bar_of_place is not bar_of_terminal


class ProgressBar(tqdm):
    """tqdm's bar; where stderr is neither a terminal nor a notebook's, lines of the logger.

    A line is written where something was done and a minute has passed, and one at the end:

        2026-11-27 02:24:20 embedding: 1200 of 4106 frames, 02:31 left

    Takes tqdm's arguments.
    """

    def __init__(self, *arguments, **options):
        self._is_log = not (IN_NOTEBOOK or sys.stderr.isatty())
        interval = LINE_SECONDS if self._is_log else 0.5
        super().__init__(*arguments, mininterval=interval, maxinterval=4 * interval, **options)

    def display(self, *arguments, **options):
        if not self._is_log:
            return super().display(*arguments, **options)
        if self.n > self.initial:  # tqdm shows a bar before anything is done, too
            self._write_line(self._left())
        return True

    def close(self):
        if not self._is_log:
            return super().close()
        if not self.disable:
            self.disable = True
            self._decr_instances(self)
            elapsed = self.format_dict["elapsed"]
            if elapsed >= self.delay:
                before = f"{self.initial} of them before, " if self.initial else ""
                self._write_line(f"{before}after {self.format_interval(elapsed)}")
        return None

    def show(self, values: dict[str, str]) -> None:
        """Shows values behind the bar, when it is drawn the next time."""
        self.set_postfix(values, refresh=False)

    @contextlib.contextmanager
    def not_counted(self, what: str) -> Iterator[None]:
        """Context that shows `what`; its time does not count for the rate and the time left."""
        self.set_postfix_str(what)
        yield
        self.set_postfix_str("", refresh=False)
        self.unpause()

    def go_back(self, place: int) -> None:
        """Goes on from an earlier place."""
        self.n = self.last_print_n = place
        self.refresh()

    def _left(self) -> str:
        elapsed = self.format_dict["elapsed"]
        if not self.total:
            return f"after {self.format_interval(elapsed)}"
        rate = self.format_dict["rate"] or (self.n - self.initial) / max(elapsed, 1e-9)
        return f"{self.format_interval(max(0, self.total - self.n) / rate)} left"

    def _write_line(self, duration: str) -> None:
        counts = [self.n] if self.total is None else [self.n, self.total]
        if self.unit_scale:
            done = " of ".join(self.format_sizeof(count, self.unit) for count in counts)
        else:
            plural = "" if counts[-1] == 1 else "s"
            done = f"{' of '.join(map(str, counts))} {self.unit}{plural}"
        said = ", ".join(filter(None, (done, duration, self.postfix)))
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        what = f"{self.desc}: " if self.desc else ""
        logger.info("%s %s%s", stamp, what, said)
