"""Event loops that run in threads of their own, for threads that wait for what is done on them."""

import asyncio
import threading

from ragsite.lib.concurrency.per_process import PerProcess


def named(name: str) -> asyncio.AbstractEventLoop:
    """This process's loop of that name, which is also its thread's."""
    return _loops.get(name)


def _start(name: str) -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name=name, daemon=True).start()
    return loop


_loops = PerProcess(_start)
