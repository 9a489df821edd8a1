"""Work that is done beside a trial now and then."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def every(seconds: float, do: Callable[[], None], *, at_both_ends: bool) -> Iterator[None]:
    """Call a function in a thread of its own for the time of the block.

    Args:
        seconds: between two calls.
        do: what is called. An OSError, as of a store that cannot be reached, costs this call alone.
        at_both_ends: whether it is called when the block begins, and once more when it ends.
    """
    over = threading.Event()

    def work() -> None:
        ended, pause = False, 0 if at_both_ends else seconds
        while not ended:
            ended, pause = over.wait(pause), seconds
            if not ended or at_both_ends:
                with contextlib.suppress(OSError):
                    do()

    thread = threading.Thread(target=work, name=f"every {seconds:g} s", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
