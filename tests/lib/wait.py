# SPDX-License-Identifier: Apache-2.0
"""Waiting with a deadline. Tests wait for a state, never for an amount of time."""

import time


def until(check, timeout=10.0, what=None, every=0.01):
    """Call `check` until it is true and return what it returned.

    Raises TimeoutError, which names `what`, when that takes too long.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() >= deadline:
            name = what or getattr(check, "__name__", "condition")
            raise TimeoutError(f"not within {timeout:g} s: {name}")
        time.sleep(every)
