"""Progress that a person can follow: a bar on a terminal, a plain line every few seconds elsewhere."""

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

QUIET_S = 1.0  # work that ends earlier shows nothing
LINE_EVERY_S = 15.0


def duration_text(seconds: float) -> str:
    """Seconds as people say them: ``"4.2 s"``, ``"3 min 05 s"``, ``"1 h 02 min"``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


class Progress:
    """Counts work done and tells rate and time left on standard error.

    Args:
        total: amount of work, in `unit`.
        description: a few words, e.g. ``"features"``.
        unit: plural noun, e.g. ``"clips"``.
    """

    def __init__(self, total: int, description: str, unit: str):
        self.total, self.description, self.unit = total, description, unit
        self.done, self.note = 0, ""
        self.is_terminal = sys.stderr.isatty()
        self.start, self.shown = time.monotonic(), float("-inf")
        self.first: tuple[float, int] | None = None  # when the first work came back, and how much: workers start slowly
        self.visible = False
        self._lock = threading.Lock()
        self._first_line = threading.Timer(QUIET_S, self._show_if_hidden)  # the first result may take long
        self._first_line.daemon = True
        self._first_line.start()

    def update(self, done: int, note: str = "") -> None:
        """Set the amount done; `note` is shown at the end of the line, e.g. the current score."""
        self.done, self.note = done, note or self.note
        now = time.monotonic()
        if done and self.first is None:
            self.first = now, done
        wait = 0.1 if self.is_terminal else LINE_EVERY_S
        with self._lock:
            if self.done < self.total and now - self.start > QUIET_S and now - self.shown >= wait:
                self._show(now)

    def close(self) -> None:
        """Print the final state, unless all was done within `QUIET_S`."""
        self._first_line.cancel()
        now = time.monotonic()
        with self._lock:
            if now - self.start <= QUIET_S and not self.visible:
                self.visible = True  # a timer that fired meanwhile shows nothing
                return
            self._show(now)
            if self.is_terminal:
                print(file=sys.stderr)

    def _show_if_hidden(self) -> None:
        with self._lock:
            if not self.visible:
                self._show(time.monotonic())

    def _show(self, now: float) -> None:
        self.shown, self.visible = now, True
        elapsed = now - self.start
        rate = self._rate(now) if self.done < self.total else self.done / elapsed
        left = f"{duration_text((self.total - self.done) / rate)} left" if self.done else "starting"
        if self.done >= self.total:
            left = f"done in {duration_text(elapsed)}"
        text = f"{self.description}: {self.done}/{self.total} {self.unit}, {rate:.3g}/s, {left}"
        text = f"{text}, {self.note}" if self.note else text
        if self.is_terminal:
            filled = int(20 * self.done / max(self.total, 1))
            text = f"\r\033[K[{'█' * filled}{'·' * (20 - filled)}] {text}"
        print(text, end="" if self.is_terminal else "\n", file=sys.stderr, flush=True)

    def _rate(self, now: float) -> float:
        """Work in a second since the first came back, or since the start while there is no more."""
        since, before = self.first or (now, 0)
        if self.done > before and now > since:
            return (self.done - before) / (now - since)
        return self.done / (now - self.start)


def track(items: Iterable[Item], total: int, description: str, unit: str) -> Iterator[Item]:
    """Yield the items and show how far along they are."""
    progress = Progress(total, description, unit)
    try:
        for done, item in enumerate(items, start=1):
            yield item
            progress.update(done)
    finally:
        progress.close()
