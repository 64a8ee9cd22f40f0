"""What Django, its REST framework and the description of the API are made of, and the log."""

from ragsite import log
from ragsite.lib import environment
from ragsite.settings.places import BASE_DIR, EMBEDDED

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
    "ragsite.static_files.StaticFiles",
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

LOG_LEVEL = environment.choice("LOG_LEVEL", "INFO", among=("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_FORMAT = environment.choice("LOG_FORMAT", "text" if EMBEDDED else "json", among=("text", "json"))
LOGGING = log.configuration(level=LOG_LEVEL, form=LOG_FORMAT)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apikeys.authentication.APIKeyAuthentication",
        "accounts.authentication.BearerToken",
        "rest_framework.authentication.SessionAuthentication",
    ],
    # A view says who may call it; one that forgets to is closed.
    "DEFAULT_PERMISSION_CLASSES": ["apikeys.permissions.Nobody"],
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_PARSER_CLASSES": ["ragsite.lib.api.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "ragsite.lib.api.Pages",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "ragsite.lib.problems.answer_error",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "ragsite",
    "DESCRIPTION": "Cited answers over an organisation's documents.",
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
