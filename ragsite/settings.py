"""Every setting of ragsite. docs/configuration.md lists the environment variables that feed them.

With no DATABASE_URL the site runs in its embedded mode: Postgres and Redis from Python wheels and secrets
made at random, all under DATA_DIR. With one, nothing secret has a default.
"""

import shutil
from datetime import timedelta
from pathlib import Path

from corsheaders.defaults import default_headers
from csp.constants import NONE, SELF
from redis.backoff import NoBackoff
from redis.retry import Retry

from ragsite import embedded, log
from ragsite.lib import environment, postgres

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(environment.text("DATA_DIR", str(BASE_DIR / ".data"))).resolve()

# Where things are --------------------------------------------------------------------------------------------

DATABASE_URL = environment.secret("DATABASE_URL")
DATABASE_OWNER_URL = environment.secret("DATABASE_OWNER_URL")
REDIS_URL = environment.secret("REDIS_URL")
EMBEDDED = not DATABASE_URL
_made_secrets = embedded.secrets(DATA_DIR) if EMBEDDED else {}

WEB_WORKERS = environment.integer("WEB_WORKERS", 2, minimum=1)  # which share what they cannot ask Redis about
# Not one for each thread: most of them wait for a model, and hold none meanwhile (ragsite/lib/waiting.py).
DATABASE_POOL_SIZE = environment.integer("DATABASE_POOL_SIZE", 10, minimum=1)
DATABASE_STATEMENT_TIMEOUT_MS = environment.integer("DATABASE_STATEMENT_TIMEOUT_MS", 30_000, minimum=100)
REDIS_APPENDFSYNC = environment.choice("REDIS_APPENDFSYNC", "no", among=("always", "everysec", "no"))
REDIS_TIMEOUT_MS = environment.integer("REDIS_TIMEOUT_MS", 100, minimum=1)

if EMBEDDED:
    DATABASE_URL = embedded.database_url(DATA_DIR)
    DATABASE_OWNER_URL = embedded.database_url(DATA_DIR, role=embedded.OWNER)

# `owner` makes and changes tables (migrations, partitions, indexes). The role that serves owns none of them, so that it
# cannot take down the walls between tenants (ragsite/lib/row_security.py).
DATABASES = {
    "default": postgres.database(
        DATABASE_URL, statement_timeout_ms=DATABASE_STATEMENT_TIMEOUT_MS, pool_size=DATABASE_POOL_SIZE
    ),
    postgres.OWNER: postgres.database(
        DATABASE_OWNER_URL or DATABASE_URL, statement_timeout_ms=DATABASE_STATEMENT_TIMEOUT_MS
    ),
}
REDIS_URL = REDIS_URL or embedded.redis_url(DATA_DIR)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "django",
        "OPTIONS": {
            "SOCKET_CONNECT_TIMEOUT": REDIS_TIMEOUT_MS / 1000,
            "SOCKET_TIMEOUT": REDIS_TIMEOUT_MS / 1000,
            # Without it redis-py tries again and again, with pauses that add up to seconds.
            # And it keeps to 100 connections: a thread that gets none would take Redis for dead, and open the breaker.
            "CONNECTION_POOL_KWARGS": {"retry": Retry(NoBackoff(), 0), "max_connections": 10_000},
        },
    },
}

# Security ----------------------------------------------------------------------------------------------------

DEBUG = environment.boolean("DEBUG", default=False)
SECRET_KEY = environment.secret("SECRET_KEY", _made_secrets.get("SECRET_KEY", ""))
ENCRYPTION_KEY = environment.secret("ENCRYPTION_KEY", _made_secrets.get("ENCRYPTION_KEY", ""))
ALLOWED_HOSTS = environment.words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]" if EMBEDDED else "")
CSRF_TRUSTED_ORIGINS = environment.words("CSRF_TRUSTED_ORIGINS")
CORS_ALLOWED_ORIGINS = environment.words("CORS_ALLOWED_ORIGINS")
CORS_URLS_REGEX = r"^/((api|v1)/|mcp$)"
# Besides ours, those that OpenAI's client and the Model Context Protocol send from a page.
CORS_ALLOW_HEADERS = [*default_headers, "idempotency-key", "mcp-protocol-version", "mcp-method", "mcp-name", "openai-organization",
                      "openai-project", *(f"x-stainless-{name}" for name in (
                          "arch", "lang", "os", "package-version", "retry-count", "runtime", "runtime-version", "timeout"))]  # fmt: skip
CORS_EXPOSE_HEADERS = ["X-Request-ID", "Retry-After", "Idempotency-Replayed", "RateLimit", "RateLimit-Policy",
                       "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]  # fmt: skip

HTTPS = environment.boolean("HTTPS", default=not EMBEDDED)
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^health$", r"^ready$"]  # probes come from inside, over plain HTTP
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = environment.integer("HSTS_SECONDS", 3600) if HTTPS else 0
# Whether every other host of the domain speaks HTTPS too is not this site's to promise.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "ragsite.lib.api.csrf_failure"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.authentication.PasswordAndSession"]
LOGIN_URL = "/api/session/login/"
LOGIN_REDIRECT_URL = "/api/docs"
_validation = "django.contrib.auth.password_validation"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"{_validation}.UserAttributeSimilarityValidator"},
    {"NAME": f"{_validation}.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": f"{_validation}.CommonPasswordValidator"},
    {"NAME": f"{_validation}.NumericPasswordValidator"},
]

# The audit log: `ragsite.lib.audit` signs its entries; values keep their types instead of becoming strings.
AUDITLOG_STORE_JSON_CHANGES = True
AUDIT_RETENTION_DAYS = environment.integer("AUDIT_RETENTION_DAYS", 730, minimum=1)
AUDITLOG_CID_HEADER = None  # the request's id is ours, not what a client writes

# The application ---------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "auditlog",
    "corsheaders",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "ragsite",
    "accounts",
    "apikeys",
    "webhooks",
    "documents",
    "queries",
    "protocols",
]

MIDDLEWARE = [
    "ragsite.lib.middleware.RequestID",
    "queries.middleware.CachedAnswers",
    "accounts.middleware.RowSecurity",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "ragsite.policy.PagePolicy",
    "corsheaders.middleware.CorsMiddleware",
    "apikeys.middleware.RecordUsage",
    "ragsite.lib.audit.RemembersRequest",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "ragsite.urls"
WSGI_APPLICATION = "ragsite.wsgi.application"
APPEND_SLASH = True
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

UNFOLD = {"SITE_TITLE": "ragsite", "SITE_HEADER": "ragsite"}  # the admin's pages
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Uploaded files: in a folder that web and workers share, or in a bucket.
STORAGE = environment.choice("STORAGE", "folder", among=("folder", "s3"))
MEDIA_ROOT = DATA_DIR / "files"
S3_BUCKET = environment.text("S3_BUCKET")
S3_PREFIX = environment.text("S3_PREFIX").strip("/")
S3_ENDPOINT_URL = environment.text("S3_ENDPOINT_URL")
S3_REGION = environment.text("S3_REGION")
S3_ACCESS_KEY_ID = environment.secret("S3_ACCESS_KEY_ID")
S3_SECRET_ACCESS_KEY = environment.secret("S3_SECRET_ACCESS_KEY")
_uploads = {
    "folder": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "s3": {
        "BACKEND": "documents.bucket.Bucket",
        "OPTIONS": {
            "bucket_name": S3_BUCKET,
            "location": S3_PREFIX,
            "endpoint_url": S3_ENDPOINT_URL or None,
            "region_name": S3_REGION or None,
            # Without them boto3 looks where it always does: the machine's role, for one.
            "access_key": S3_ACCESS_KEY_ID or None,
            "secret_key": S3_SECRET_ACCESS_KEY or None,
        },
    },
}
STORAGES = {
    "default": _uploads[STORAGE],
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedStaticFilesStorage",
        # Uploads are their owner's alone; these are read by whichever account serves them.
        "OPTIONS": {"file_permissions_mode": 0o644, "directory_permissions_mode": 0o755},
    },
}
WHITENOISE_USE_FINDERS = True  # so that a fresh clone serves its pages without a collectstatic

DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024  # a request's body without its files
FILE_UPLOAD_PERMISSIONS = 0o600
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o700

LOG_LEVEL = environment.choice("LOG_LEVEL", "INFO", among=("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_FORMAT = environment.choice("LOG_FORMAT", "text" if EMBEDDED else "json", among=("text", "json"))
LOGGING = log.configuration(level=LOG_LEVEL, form=LOG_FORMAT)

# The API -----------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apikeys.authentication.APIKeyAuthentication",
        "accounts.authentication.BearerToken",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "apikeys.permissions.Nobody"
    ],  # a view says who may; forgetting it locks it
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_PARSER_CLASSES": ["ragsite.lib.api.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "ragsite.lib.api.Pages",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "ragsite.lib.api.answer_error",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "ragsite",
    "DESCRIPTION": "Cited answers over an organisation's documents and databases.",
    "VERSION": "1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api",
    "ENUM_NAME_OVERRIDES": {
        "AskedRoute": ["auto", "documents", "database"],
        "AnsweredRoute": [("documents", "Documents"), ("database", "Database")],
        "QueryStatus": [
            ("answered", "Answered"),
            ("not_found", "not in the documents"),
            ("failed", "Failed"),
        ],
    },
}
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=environment.integer("JWT_ACCESS_MINUTES", 30, minimum=1)),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=environment.integer("JWT_REFRESH_DAYS", 7, minimum=1)),
    "USER_ID_CLAIM": "user",
    "TOKEN_OBTAIN_SERIALIZER": "accounts.serializers.TokenIn",
    "CHECK_REVOKE_TOKEN": True,  # a changed password ends the tokens made under the old one
}
TOKEN_RATE = environment.text("TOKEN_RATE", "10/m")
TRUSTED_PROXIES = environment.words("TRUSTED_PROXIES")

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

# Requests that wait for a model, and streams of a document's events: each holds a thread of its process, so that some
# have to be left for the rest.
_threads = environment.integer("WEB_THREADS", 256, minimum=1)
EVENT_STREAMS = environment.integer("EVENT_STREAMS", max(1, _threads // 8), minimum=1)
LONG_REQUESTS = environment.integer("LONG_REQUESTS", max(1, _threads - 2 * (_threads // 8)), minimum=1)
EVENT_STREAM_SECONDS = environment.integer("EVENT_STREAM_SECONDS", 60, minimum=1)

# Webhooks ----------------------------------------------------------------------------------------------------

WEBHOOK_ALLOWED_NETWORKS = environment.words("WEBHOOK_ALLOWED_NETWORKS")
WEBHOOK_TIMEOUT_SECONDS = environment.integer("WEBHOOK_TIMEOUT_SECONDS", 15, minimum=1)
WEBHOOK_DISABLE_DAYS = environment.integer("WEBHOOK_DISABLE_DAYS", 3, minimum=1)
WEBHOOK_RETENTION_DAYS = environment.integer("WEBHOOK_RETENTION_DAYS", 30, minimum=2)

# Work in the background --------------------------------------------------------------------------------------

CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")
# A worker that is well takes a message within milliseconds; one whose connection was lost needs a few seconds.
WORKER_PATIENCE_SECONDS = environment.integer("WORKER_PATIENCE_SECONDS", 10, minimum=1)
# A process that grew beyond this is replaced after its task; the next one loads the model anew, in half a second.
WORKER_MEMORY_BYTES = environment.integer("WORKER_MEMORY_BYTES", 1024**3, minimum=256 * 1024**2)

# Models ------------------------------------------------------------------------------------------------------

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
