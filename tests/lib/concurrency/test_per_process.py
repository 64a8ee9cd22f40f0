"""One of each kind a process."""

import os
import threading
import time

from ragsite.lib.concurrency.per_process import PerProcess


def test_a_key_is_made_once_though_many_threads_ask() -> None:
    def slowly(_: str) -> object:
        time.sleep(0.05)
        return object()

    things: PerProcess[str, object] = PerProcess(slowly)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(things.get("a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
    assert things.get("b") is not things.get("a")


def test_a_child_makes_its_own_even_when_forked_while_the_parent_makes_one() -> None:
    made = threading.Event()

    def once_told(_: str) -> int:
        made.wait(5)
        return os.getpid()

    pids: PerProcess[str, int] = PerProcess(once_told)
    maker = threading.Thread(target=pids.get, args=("a",))
    maker.start()
    time.sleep(0.05)
    child = os.fork()
    if child == 0:
        made.set()
        os._exit(0 if pids.get("a") == os.getpid() else 1)
    assert os.waitpid(child, 0)[1] == 0
    made.set()
    maker.join()
    assert pids.get("a") == os.getpid()
