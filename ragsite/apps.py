from django.apps import AppConfig


class RagsiteConfig(AppConfig):
    name = "ragsite"

    def ready(self) -> None:
        # Importing registers the system checks, and makes the Celery application the one that tasks belong to.
        from ragsite import celery, checks  # noqa: F401, PLC0415
        from ragsite.lib import audit  # noqa: PLC0415

        audit.connect()
