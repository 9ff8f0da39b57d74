"""Progress on stderr: a bar on a terminal, else a line every ten seconds."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from firstsight.cli.output import print_message, replace_control_characters

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from firstsight.indexer.index_report import Counts

LINE_EVERY_S = 10.0


class Progress:
    """Show the counts of an index run. A context manager; pass `show` as `on_progress`."""

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
        """Update the display."""
        if self._bar:
            self._bar.show(counts)
        elif not self._quiet and time.monotonic() - self._last_line > LINE_EVERY_S:
            self._last_line = time.monotonic()
            rate = counts.items / (self._last_line - self._started)
            left = f", {(counts.total - counts.items) / rate:,.0f} s left" if rate else ""
            self.say(f"{counts.items:,} of {counts.total:,} items, {rate:,.1f}/s, {counts.failed_media} failed{left}")

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one. Nothing when quiet."""
        if self._bar:
            self._bar.say(line)
        elif not self._quiet:
            print_message(line)

    def warn(self, line: str) -> None:
        """Print a line, also when quiet."""
        if self._bar:
            self._bar.say(replace_control_characters(line))
        else:
            print_message(line)


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


class RowProgress:
    """Show the number of written rows: a bar on a terminal, else a line every ten seconds. A context manager.

    Args:
        verb: what happens to the rows, such as "exporting".
        quiet: show nothing.
    """

    def __init__(self, verb: str, quiet: bool) -> None:
        self._verb = verb
        self._quiet = quiet
        self._last_line = time.monotonic()
        self._bar: RichProgress | None = None

    def __enter__(self) -> RowProgress:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn(self._verb), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("", total=None)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, rows: int, total: int | None) -> None:
        """Update the display; `total` is None if it is unknown."""
        if self._bar:
            self._bar.update(self._task, completed=rows, total=total)
        elif not self._quiet and time.monotonic() - self._last_line > LINE_EVERY_S:
            self._last_line = time.monotonic()
            print_message(f"{self._verb}: {rows:,}" + ("" if total is None else f" of {total:,}") + " rows")
