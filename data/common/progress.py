"""Progress bars for terminals and for log files."""

import sys

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

    def go_back(self, place: int) -> None:
        """Goes on from an earlier place."""
        self.n = self.last_print_n = place
        self.refresh()
