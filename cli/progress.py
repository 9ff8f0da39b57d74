"""Progress on stderr: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from firstsight.cli.output import harmless, tell

if TYPE_CHECKING:
    from firstsight.indexer.index_report import Counts

LINE_EVERY_S = 10.0


class Progress:
    """Shows an index run's counts; a context manager whose `show` is the run's `on_progress`."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._started = time.monotonic()
        self._last_line = self._started
        self._bar = _Bar() if not quiet and sys.stderr.isatty() else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.close()

    def show(self, counts: Counts) -> None:
        """Bring what is shown up to date."""
        if self._bar:
            self._bar.show(counts)
        elif not self._quiet and time.monotonic() - self._last_line > LINE_EVERY_S:
            self._last_line = time.monotonic()
            rate = counts.items / (self._last_line - self._started)
            left = f", {(counts.total - counts.items) / rate:,.0f} s left" if rate else ""
            self.say(f"{counts.items:,} of {counts.total:,} items, {rate:,.1f}/s, {counts.failed_media} failed{left}")

    def say(self, line: str) -> None:
        """A line of its own, above the bar where there is one; nothing when quiet."""
        if self._bar:
            self._bar.say(line)
        elif not self._quiet:
            tell(line)

    def warn(self, line: str) -> None:
        """A line of its own, when quiet too."""
        if self._bar:
            self._bar.say(harmless(line))
        else:
            tell(line)


class _Bar:
    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._rich = RichProgress(
            TextColumn("indexing"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f} items/s"),
            TextColumn("{task.fields[failed]} failed"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._rich.add_task("", total=None, rate=0.0, failed=0)
        self._started = time.monotonic()
        self._rich.start()

    def show(self, counts: Counts) -> None:
        rate = counts.items / max(time.monotonic() - self._started, 1e-3)
        self._rich.update(self._task, completed=counts.items, total=counts.total, rate=rate, failed=counts.failed_media)

    def say(self, line: str) -> None:
        self._rich.console.print(line, markup=False, highlight=False)

    def close(self) -> None:
        self._rich.stop()
