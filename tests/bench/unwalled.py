"""ragsite without row-level security, for the benchmark that tells what it costs.

`gunicorn … tests.bench.unwalled`: the site as it is, but for Django's own database backend, which says nothing of tenants,
and a role that no policy holds. The embedded Postgres has one; production has no way to choose it.
"""

from ragsite import settings

settings.DATABASES["default"] |= {"ENGINE": "django.db.backends.postgresql", "USER": "postgres"}

from ragsite.wsgi import application  # noqa: E402  Django reads the settings when it is imported

__all__ = ["application"]
