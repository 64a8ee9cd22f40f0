"""The local model and nothing else, in processes of a thread each as the workers have it."""

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Self

from ragsite.lib.inference import local_model
from ragsite.lib.inference.local_model import LocalModel, Precision

PROCESSES: Final = 2  # as `make up` runs them on two cores: one for small files, one for large ones and these
_loaded: list[LocalModel] = []  # in a process of the pool: its model


class EmbeddingAlone:
    def __init__(self, processes: int = PROCESSES) -> None:
        self._processes = processes
        self._folder = TemporaryDirectory()
        local_model.prepare(Path(self._folder.name), precision=Precision.INT8)
        self._pool = ProcessPoolExecutor(
            processes, mp_context=get_context("spawn"), initializer=_load, initargs=(self._folder.name,)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        self._folder.cleanup()

    def embed(self, texts: Sequence[str]) -> tuple[float, float]:
        """Seconds until the last process is done, and CPU seconds of them all."""
        began = time.perf_counter()
        # By length, so that each gets as much work as the other.
        ordered = sorted(texts, key=len)
        shares = [ordered[place :: self._processes] for place in range(self._processes)]
        cpu = sum(self._pool.map(_embed, shares))
        return time.perf_counter() - began, cpu


def _load(folder: str) -> None:
    _loaded.append(LocalModel(Path(folder), precision=Precision.INT8, threads=1))


def _embed(texts: Sequence[str]) -> float:
    """CPU seconds."""
    cpu = time.process_time()
    _loaded[0].embed(texts)
    return time.process_time() - cpu
