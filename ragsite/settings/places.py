"""Where things are: the servers, uploaded files, and those of the pages."""

from pathlib import Path

from redis.backoff import NoBackoff
from redis.retry import Retry

from ragsite import embedded
from ragsite.lib import environment, postgres

BASE_DIR = Path(__file__).resolve().parents[2]
DATA_DIR = Path(environment.text("DATA_DIR", str(BASE_DIR / ".data"))).resolve()

DATABASE_URL = environment.secret("DATABASE_URL")
DATABASE_OWNER_URL = environment.secret("DATABASE_OWNER_URL")
REDIS_URL = environment.secret("REDIS_URL")
EMBEDDED = not DATABASE_URL
made_secrets = embedded.secrets(DATA_DIR) if EMBEDDED else {}

# Not one for each thread: most of them wait for a model, and hold none meanwhile (ragsite/lib/concurrency/waiting.py).
DATABASE_POOL_SIZE = environment.integer("DATABASE_POOL_SIZE", 10, minimum=0)
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
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")
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

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"  # where `collectstatic` was run, as in an image
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # so that a fresh clone serves its pages without a collectstatic

# Uploaded files: in a folder that web and workers share, or in a bucket.
STORAGE = environment.choice("STORAGE", "folder", among=("folder", "s3"))
MEDIA_ROOT = DATA_DIR / "files"
FILE_UPLOAD_PERMISSIONS = 0o600
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o700
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
