"""The models: for vectors, for answers, for a last order of what was found; and what they cost."""

from ragsite.lib import environment

EMBEDDING_PROVIDER = environment.choice("EMBEDDING_PROVIDER", "local", among=("local", "openai"))
EMBEDDING_MODEL = environment.text("EMBEDDING_MODEL", "all-MiniLM-L6-v2")
EMBEDDING_PRECISION = environment.choice("EMBEDDING_PRECISION", "int8", among=("int8", "fp32"))
EMBEDDING_DIMENSIONS = environment.integer("EMBEDDING_DIMENSIONS", 384, minimum=1)
EMBEDDING_BASE_URL = environment.text("EMBEDDING_BASE_URL", "https://api.openai.com/v1")
EMBEDDING_API_KEY = environment.secret("EMBEDDING_API_KEY")
EMBEDDING_API_KEYS = environment.keys("EMBEDDING_API_KEYS", environment.secret("EMBEDDING_API_KEYS"))
EMBEDDING_REQUESTS_PER_MINUTE = environment.integer("EMBEDDING_REQUESTS_PER_MINUTE", 0)
EMBEDDING_TOKENS_PER_MINUTE = environment.integer("EMBEDDING_TOKENS_PER_MINUTE", 0)
EMBEDDING_PATIENCE_SECONDS = environment.integer("EMBEDDING_PATIENCE_SECONDS", 120)
EMBEDDING_THREADS = environment.integer("EMBEDDING_THREADS", 1, minimum=1)

ANSWER_PROVIDER = environment.choice("ANSWER_PROVIDER", "extractive", among=("extractive", "openai"))
ANSWER_MODEL = environment.text("ANSWER_MODEL", "gpt-4o-mini")
ANSWER_FALLBACK_MODELS = environment.words("ANSWER_FALLBACK_MODELS")
ANSWER_BASE_URL = environment.text("ANSWER_BASE_URL", "https://api.openai.com/v1")
ANSWER_API_KEY = environment.secret("ANSWER_API_KEY")
ANSWER_API_KEYS = environment.keys("ANSWER_API_KEYS", environment.secret("ANSWER_API_KEYS"))
ANSWER_TIMEOUT_SECONDS = environment.integer("ANSWER_TIMEOUT_SECONDS", 30, minimum=1)
ANSWER_CONNECT_SECONDS = environment.integer("ANSWER_CONNECT_SECONDS", 5, minimum=1)
ANSWER_FIRST_TOKEN_SECONDS = environment.integer("ANSWER_FIRST_TOKEN_SECONDS", 15)
ANSWER_CALLS_IN_FLIGHT = environment.integer("ANSWER_CALLS_IN_FLIGHT", 256)
ANSWER_QUEUE_SECONDS = environment.integer("ANSWER_QUEUE_SECONDS", 2)
ANSWER_BREAKER_FAILURES = environment.integer("ANSWER_BREAKER_FAILURES", 5, minimum=1)
ANSWER_BREAKER_SECONDS = environment.integer("ANSWER_BREAKER_SECONDS", 30, minimum=1)
ANSWER_MAX_TOKENS = environment.integer("ANSWER_MAX_TOKENS", 1_000, minimum=1)
ANSWER_WINDOW_TOKENS = environment.integer("ANSWER_WINDOW_TOKENS", 32_000, minimum=2_000)
# Of a tenant that says nothing else, and the most that one can say.
ANSWER_CACHE_SECONDS = environment.integer("ANSWER_CACHE_SECONDS", 3600, minimum=1)
ANSWER_CACHE_MAX_SECONDS = environment.integer("ANSWER_CACHE_MAX_SECONDS", 86_400, minimum=1)
ANSWER_CACHE_BYTES = environment.integer("ANSWER_CACHE_BYTES", 32 * 1024**2)
ANSWER_CACHE_MAX_BYTES = environment.integer("ANSWER_CACHE_MAX_BYTES", 256 * 1024**2)

RERANK_PROVIDER = environment.choice("RERANK_PROVIDER", "none", among=("none", "cohere", "jina", "tei"))
RERANK_URL = environment.text("RERANK_URL")
RERANK_API_KEY = environment.secret("RERANK_API_KEY")
RERANK_MODEL = environment.text("RERANK_MODEL")
# As many as text-embeddings-inference takes in one request as it is set up, less two.
RERANK_CANDIDATES = environment.integer("RERANK_CANDIDATES", 30, minimum=1)
RERANK_TIMEOUT_MS = environment.integer("RERANK_TIMEOUT_MS", 2_000, minimum=1)
RERANK_SEARCH_PRICE = environment.number("RERANK_SEARCH_PRICE", 0.0)  # US dollars a thousand

MODEL_PRICES = environment.prices("MODEL_PRICES", "gpt-4o-mini=0.15/0.60")
