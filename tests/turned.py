"""A model of another size and the local model's quality: its vectors, turned into a space of more dimensions.

A map that keeps angles keeps every ranking, so that what a change of model costs a search can be told.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragsite.lib.inference.local_model import DIMENSIONS, LocalModel, Precision
from tests.model_answers import Embedder

TURNED = 512


@cache
def rotation(dimensions: int) -> NDArray[np.float32]:
    """(DIMENSIONS, dimensions) with orthonormal rows."""
    random = np.random.default_rng(dimensions).normal(size=(dimensions, DIMENSIONS))
    return np.asarray(np.linalg.qr(random)[0].T, dtype=np.float32)


@cache
def turned(directory: Path, *, threads: int = 1) -> Embedder:
    """`directory` is where the local model is prepared."""
    model = LocalModel(directory, precision=Precision.INT8, threads=threads)

    def embed(texts: Sequence[str], dimensions: int | None) -> NDArray[np.float32]:
        return np.asarray(model.embed(texts) @ rotation(dimensions or TURNED))

    return embed


def bent(directory: Path, *, threads: int = 1) -> Embedder:
    """As `turned`, but its angles differ by a little: enough to tell the two models' cosines apart."""
    straight = turned(directory, threads=threads)
    weights = np.random.default_rng(1).uniform(0.6, 1.4, DIMENSIONS).astype(np.float32)

    def embed(texts: Sequence[str], dimensions: int | None) -> NDArray[np.float32]:
        back = straight(texts, dimensions) @ rotation(dimensions or TURNED).T
        vectors = (back * weights) @ rotation(dimensions or TURNED)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    return embed
