"""How much, how large and how long: requests, documents, the processes that work on them, and webhooks."""

import shutil

from ragsite.lib import environment

# Requests ----------------------------------------------------------------------------------------------------

DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024  # a request's body without its files

WEB_WORKERS = environment.integer("WEB_WORKERS", 2, minimum=1)  # which share what they cannot ask Redis about
# Requests that wait for a model, and streams of a document's events: each holds a thread of its process, so that some
# have to be left for the rest.
_threads = environment.integer("WEB_THREADS", 256, minimum=1)
EVENT_STREAMS = environment.integer("EVENT_STREAMS", max(1, _threads // 8), minimum=1)
LONG_REQUESTS = environment.integer("LONG_REQUESTS", max(1, _threads - 2 * (_threads // 8)), minimum=1)
EVENT_STREAM_SECONDS = environment.integer("EVENT_STREAM_SECONDS", 60, minimum=1)

# Documents ---------------------------------------------------------------------------------------------------

MAX_UPLOAD_BYTES = environment.integer("MAX_UPLOAD_BYTES", 50 * 1024 * 1024, minimum=1)
PARSE_SECONDS = environment.integer("PARSE_SECONDS", 60, minimum=1)
PARSE_MEMORY_BYTES = environment.integer("PARSE_MEMORY_BYTES", 1024**3, minimum=64 * 1024**2)
PARSE_MAX_PAGES = environment.integer("PARSE_MAX_PAGES", 2_000, minimum=1)
PARSE_MAX_CHARACTERS = environment.integer("PARSE_MAX_CHARACTERS", 20_000_000, minimum=1)
PARSE_MAX_DECOMPRESSED_BYTES = environment.integer("PARSE_MAX_DECOMPRESSED_BYTES", 256 * 1024**2, minimum=1)
PARSE_MAX_DEPTH = environment.integer("PARSE_MAX_DEPTH", 100, minimum=1)
OCR_ENABLED = environment.boolean("OCR_ENABLED", default=shutil.which("tesseract") is not None)
OCR_LANGUAGES = environment.words("OCR_LANGUAGES", "eng")
OCR_MODELS = environment.text("OCR_MODELS")
OCR_PAGE_SECONDS = environment.integer("OCR_PAGE_SECONDS", 60, minimum=1)
OCR_SECONDS = environment.integer("OCR_SECONDS", 1_800, minimum=1)
OCR_MAX_PAGES = environment.integer("OCR_MAX_PAGES", 200, minimum=1)
# What takes longer, or is larger, is processed by the workers for large files; see documents/reading.py.
QUICK_PARSE_SECONDS = environment.integer("QUICK_PARSE_SECONDS", 3, minimum=1)
QUICK_BYTES = environment.integer("QUICK_BYTES", 4 * 1024 * 1024, minimum=1)
QUICK_CHUNKS = environment.integer("QUICK_CHUNKS", 300, minimum=1)
INGEST_LEASE_SECONDS = environment.integer("INGEST_LEASE_SECONDS", 15, minimum=2)
SWEEP_SECONDS = environment.integer("SWEEP_SECONDS", 15, minimum=1)
INGEST_MAX_ATTEMPTS = environment.integer("INGEST_MAX_ATTEMPTS", 3, minimum=1)
RETIRED_SPACE_HOURS = environment.integer("RETIRED_SPACE_HOURS", 24)
EXACT_SEARCH_MAX_CHUNKS = environment.integer("EXACT_SEARCH_MAX_CHUNKS", 10_000)
INDEX_BUILD_MEMORY_MB = environment.integer("INDEX_BUILD_MEMORY_MB", 256, minimum=16)

# A worker that is well takes a message within milliseconds; one whose connection was lost needs a few seconds.
WORKER_PATIENCE_SECONDS = environment.integer("WORKER_PATIENCE_SECONDS", 10, minimum=1)
# A process that grew beyond this is replaced after its task; the next one loads the model anew, in half a second.
WORKER_MEMORY_BYTES = environment.integer("WORKER_MEMORY_BYTES", 1024**3, minimum=256 * 1024**2)

# Webhooks ----------------------------------------------------------------------------------------------------

WEBHOOK_ALLOWED_NETWORKS = environment.words("WEBHOOK_ALLOWED_NETWORKS")
WEBHOOK_TIMEOUT_SECONDS = environment.integer("WEBHOOK_TIMEOUT_SECONDS", 15, minimum=1)
WEBHOOK_DISABLE_DAYS = environment.integer("WEBHOOK_DISABLE_DAYS", 3, minimum=1)
WEBHOOK_RETENTION_DAYS = environment.integer("WEBHOOK_RETENTION_DAYS", 30, minimum=2)
