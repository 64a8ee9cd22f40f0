"""sentence-transformers on torch, in an environment of its own (requirements-bench.txt). Run as a script, by that one's interpreter.

Standard input: a line of JSON, {"model": folder, "threads": n, "sets": [[text, …], …]}, then the number of a set a line.
Standard output: one line when it is ready, then for each line of input the seconds that the set took and its CPU seconds.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from functools import partial

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import torch  # type: ignore[import-not-found]  # in that environment alone
from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]

BATCH_SIZES = (8, 16, 32, 64)  # 32 is its default; the quickest of them is what is measured
MAX_TOKENS = 256


def timed(model: SentenceTransformer, texts: Sequence[str], batch_size: int) -> tuple[float, float]:
    """Seconds, and CPU seconds; it sorts by length and switches gradients off by itself."""
    cpu, started = time.process_time(), time.perf_counter()
    model.encode(texts, batch_size=batch_size, show_progress_bar=False, normalize_embeddings=True)
    return time.perf_counter() - started, time.process_time() - cpu


def main() -> None:
    job = json.loads(sys.stdin.readline())
    torch.set_num_threads(job["threads"])
    model = SentenceTransformer(job["model"], device="cpu")
    model.max_seq_length = MAX_TOKENS
    timed(model, job["sets"][0][:16], 16)
    best = []
    for texts in job["sets"]:
        took = {size: min(timed(model, texts, size)[1] for _ in range(2)) for size in BATCH_SIZES}
        best.append(min(took, key=took.__getitem__))
    answer = partial(print, flush=True)
    answer("ready", *best)
    for line in sys.stdin:
        number = int(line)
        answer(*timed(model, job["sets"][number], best[number]))


if __name__ == "__main__":
    main()
