"""SIGINT and SIGTERM: leave a state from which the same command goes on."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """The user or the system asked to stop; not an `Exception`, so no handler takes it for a failed trial."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Interrupts:
    """What signals have come. The first one asks to stop; a second one ends the process."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._waits = False

    def listen(self) -> None:
        """Take the signals; again after `ray.init`, which installs a handler that aborts on SIGTERM."""
        if threading.current_thread() is not threading.main_thread():
            return  # Python gives signals to the main thread alone, and they are its business.
        for number in _SIGNALS:
            signal.signal(number, self._note)

    @contextlib.contextmanager
    def at_checks_only(self) -> Iterator[None]:
        """Raise at `check` alone: an exception inside Ray's own calls comes out as another, or not at all."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come."""
        if self.number is not None:
            raise Interrupted(self.number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        self.number = number
        if not self._waits:
            self.check()


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Turn SIGINT and SIGTERM into `Interrupted` in the main thread for the time of the block.

    Tune would return normally after Ctrl-C, as if the sweep were complete; an exception cannot be mistaken.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    interrupts = Interrupts()
    interrupts.listen()
    try:
        yield interrupts
        interrupts.check()
    except Exception:
        # A library may have turned the interruption into another exception.
        interrupts.check()
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)
