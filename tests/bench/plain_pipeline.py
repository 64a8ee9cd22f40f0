"""Ingestion the obvious way, in an environment of its own (requirements-bench.txt). Run as a script, by that one's interpreter.

pypdf, pieces of a fixed length, sentence-transformers a document at a time, and one save of Django's ORM a chunk.
Standard input: a line of JSON, {"model": folder, "threads": n, "database": Django's dictionary}, then a folder a line.
Standard output: a line when it is ready, then for each folder the seconds that its files took and its CPU seconds.
"""

import json
import os
import sys
import time
from functools import partial
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import django
import torch  # type: ignore[import-not-found]  # in that environment alone
from django.conf import settings
from pypdf import PdfReader  # type: ignore[import-not-found]
from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]

CHARACTERS = 900  # of a piece, as ours aim at
MAX_TOKENS = 256

job = json.loads(sys.stdin.readline())
settings.configure(DATABASES={"default": job["database"]}, USE_TZ=True)
django.setup()

from django.db import connection, models  # noqa: E402
from pgvector.django import VectorField  # noqa: E402


class Document(models.Model):
    name = models.TextField()

    class Meta:
        app_label = "plain"


class Chunk(models.Model):
    document = models.ForeignKey(Document, on_delete=models.CASCADE)
    ordinal = models.IntegerField()
    text = models.TextField()
    vector = VectorField(dimensions=384)

    class Meta:
        app_label = "plain"


def text_of(path: Path) -> str:
    if path.suffix == ".pdf":
        return "\n\n".join(page.extract_text() for page in PdfReader(path).pages)
    return path.read_text()


def ingest(model: SentenceTransformer, path: Path) -> None:
    text = text_of(path)
    pieces = [text[start : start + CHARACTERS] for start in range(0, len(text), CHARACTERS)]
    vectors = model.encode(pieces, show_progress_bar=False, normalize_embeddings=True)
    document = Document.objects.create(name=path.name)  # type: ignore[attr-defined]  # of no installed app
    for ordinal, (piece, vector) in enumerate(zip(pieces, vectors, strict=True)):
        Chunk(document=document, ordinal=ordinal, text=piece, vector=vector).save()


def main() -> None:
    torch.set_num_threads(job["threads"])
    model = SentenceTransformer(job["model"], device="cpu")
    model.max_seq_length = MAX_TOKENS
    with connection.schema_editor() as editor:
        editor.create_model(Document)
        editor.create_model(Chunk)
    answer = partial(print, flush=True)
    answer("ready")
    for line in sys.stdin:
        cpu, began = time.process_time(), time.perf_counter()
        for path in sorted(Path(line.strip()).iterdir()):
            ingest(model, path)
        answer(time.perf_counter() - began, time.process_time() - cpu)


if __name__ == "__main__":
    main()
