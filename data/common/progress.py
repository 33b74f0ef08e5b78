"""Progress bars for terminals and for log files."""

import contextlib
import sys
from collections.abc import Iterator

from tqdm import tqdm


class ProgressBar(tqdm):
    """tqdm's bar; where stderr is no terminal, a line every 15 seconds or later.

    Takes tqdm's arguments.
    """

    def __init__(self, *arguments, **options):
        interval = 0.5 if sys.stderr.isatty() else 15
        super().__init__(*arguments, mininterval=interval, maxinterval=4 * interval, **options)

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
