"""The same for many things at a time, in threads that Ctrl-C and the first failure end."""

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

from core.cancel import CancelToken

GLANCE = 0.2
"""Longest wait, in seconds, of the main thread for others.

A signal that comes just before a wait without an end is seen only when that ends:
https://docs.python.org/3/library/signal.html#execution-of-python-signal-handlers
"""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_threads(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    jobs: int,
    name: str,
    cancel: CancelToken,
) -> list[_Result]:
    """Return what ``function`` makes of each item, in their order; ``name`` is what the threads are called.

    Raises the first failure once ``cancel`` has ended the others.
    """
    with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix=name) as pool:
        try:
            futures = [pool.submit(function, item) for item in items]
            while futures:
                done, running = wait(futures, timeout=GLANCE, return_when=FIRST_EXCEPTION)
                if not running or any(future.exception() for future in done):
                    return [future.result() for future in futures if future in done]
        except BaseException:
            cancel.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return []
