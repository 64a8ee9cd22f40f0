"""Secrets, hosts, HTTPS, what pages may do, and who signs in."""

from datetime import timedelta

from corsheaders.defaults import default_headers
from csp import constants as csp

from ragsite.lib import environment
from ragsite.settings.places import EMBEDDED, made_secrets

DEBUG = environment.boolean("DEBUG", default=False)
SECRET_KEY = environment.secret("SECRET_KEY", made_secrets.get("SECRET_KEY", ""))
ENCRYPTION_KEY = environment.secret("ENCRYPTION_KEY", made_secrets.get("ENCRYPTION_KEY", ""))
ALLOWED_HOSTS = environment.words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]" if EMBEDDED else "")
CSRF_TRUSTED_ORIGINS = environment.words("CSRF_TRUSTED_ORIGINS")
CORS_ALLOWED_ORIGINS = environment.words("CORS_ALLOWED_ORIGINS")
CORS_URLS_REGEX = r"^/((api|v1)/|mcp$)"
# Besides ours, those that OpenAI's client and the Model Context Protocol send from a page.
_stainless = ("arch", "lang", "os", "package-version", "retry-count", "runtime", "runtime-version", "timeout")
CORS_ALLOW_HEADERS = [
    *default_headers,
    "idempotency-key",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    "openai-organization",
    "openai-project",
    *(f"x-stainless-{name}" for name in _stainless),
]
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
CSRF_FAILURE_VIEW = "ragsite.lib.problems.csrf_failure"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [csp.SELF],
        "img-src": [csp.SELF, "data:"],
        "object-src": [csp.NONE],
        "base-uri": [csp.SELF],
        "form-action": [csp.SELF],
        "frame-ancestors": [csp.NONE],
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

SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=environment.integer("JWT_ACCESS_MINUTES", 30, minimum=1)),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=environment.integer("JWT_REFRESH_DAYS", 7, minimum=1)),
    "USER_ID_CLAIM": "user",
    "TOKEN_OBTAIN_SERIALIZER": "accounts.serializers.TokenIn",
    "CHECK_REVOKE_TOKEN": True,  # a changed password ends the tokens made under the old one
}
TOKEN_RATE = environment.text("TOKEN_RATE", "10/m")
TRUSTED_PROXIES = environment.words("TRUSTED_PROXIES")

# The audit log: `ragsite.lib.audit` signs its entries; values keep their types instead of becoming strings.
AUDITLOG_STORE_JSON_CHANGES = True
AUDIT_RETENTION_DAYS = environment.integer("AUDIT_RETENTION_DAYS", 730, minimum=1)
AUDITLOG_CID_HEADER = None  # the request's id is ours, not what a client writes
