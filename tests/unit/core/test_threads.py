"""Work in threads: results in order, and an end of all of it by the first failure or Ctrl-C."""

import os
import signal
import threading

import pytest

from core.cancel import Cancelled, CancelToken
from core.threads import in_threads


def test_results_come_in_the_order_of_the_items() -> None:
    second_is_done = threading.Event()

    def work(item: int) -> int:
        if item == 1:
            assert second_is_done.wait(20)
        else:
            second_is_done.set()
        return item * 10

    cancel = CancelToken()
    assert in_threads(work, [1, 2], jobs=2, name="work", cancel=cancel) == [10, 20]
    assert not cancel


def test_nothing_to_do_is_nothing_done() -> None:
    nothing: list[int] = []
    assert in_threads(str, nothing, jobs=2, name="work", cancel=CancelToken()) == []


def test_the_first_failure_ends_the_others_and_is_what_is_raised() -> None:
    cancel = CancelToken()
    begun = threading.Event()

    def work(item: str) -> None:
        if item == "fails":
            assert begun.wait(20)
            raise ValueError(item)
        begun.set()
        assert cancel.wait(20)
        cancel.check(item)

    with pytest.raises(ValueError, match="fails"):
        in_threads(work, ["waits", "fails", "never begins"], jobs=2, name="work", cancel=cancel)
    assert cancel


def test_ctrl_c_ends_what_waits_without_an_end() -> None:
    cancel = CancelToken()

    def work(item: str) -> None:
        if item == "interrupts":
            os.kill(os.getpid(), signal.SIGINT)
        assert cancel.wait(20)
        with pytest.raises(Cancelled):
            cancel.check(item)

    with pytest.raises(KeyboardInterrupt):
        in_threads(work, ["waits", "interrupts"], jobs=2, name="work", cancel=cancel)
    assert cancel
    for thread in threading.enumerate():
        if thread.name.startswith("work_"):
            thread.join(20)
            assert not thread.is_alive()
