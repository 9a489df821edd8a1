from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from benchmark.interrupts import Interrupted, interruptible


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_becomes_an_exception_with_the_shells_exit_code(number, code):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=number.name) as caught, interruptible():
        os.kill(os.getpid(), number)
        threading.Event().wait(5)
    assert caught.value.exit_code == code
    assert signal.getsignal(number) is before


def test_no_handler_takes_it_for_a_failure():
    with pytest.raises(Interrupted), interruptible():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(5)
        except Exception:
            pytest.fail("taken for an ordinary exception")


def test_what_a_library_makes_of_it_is_an_interruption_all_the_same():
    with pytest.raises(Interrupted), interruptible():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(5)
        except BaseException as error:
            raise SystemError("returned a result with an exception set") from error


def test_an_interruption_that_was_swallowed_is_raised_at_the_end():
    with pytest.raises(Interrupted), interruptible():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(5)
        except BaseException:
            pass


def test_where_asked_it_waits_for_a_check():
    reached = []
    with pytest.raises(Interrupted), interruptible() as interrupts:
        with interrupts.at_checks_only():
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(0.01)
            reached.append("after the signal")
            interrupts.check()
        pytest.fail("went past the check")
    assert reached == ["after the signal"]


def test_other_errors_stay_what_they_are():
    with pytest.raises(ValueError, match="mine"), interruptible():
        raise ValueError("mine")


def test_nothing_happens_without_a_signal():
    with interruptible() as interrupts:
        interrupts.check()


def test_a_second_signal_ends_the_process():
    code = (
        "import os, signal, time\n"
        "from benchmark.interrupts import interruptible\n"
        "with interruptible() as interrupts, interrupts.at_checks_only():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(0.05)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(30)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == -signal.SIGTERM


def test_in_a_thread_there_are_no_signals_to_take():
    outcome = []

    def work() -> None:
        with interruptible() as interrupts:
            interrupts.listen()
            outcome.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert outcome == ["done"]
