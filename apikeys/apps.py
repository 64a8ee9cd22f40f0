from django.apps import AppConfig


class APIKeysConfig(AppConfig):
    name = "apikeys"
    verbose_name = "API keys and usage"

    def ready(self) -> None:
        from apikeys import schema  # noqa: F401, PLC0415  importing registers the extension
        from apikeys.models import APIKey, KeyCollection  # noqa: PLC0415  models cannot be had before
        from ragsite.lib import audit  # noqa: PLC0415

        audit.register(APIKey, machine_made=["key_hash", "line", "usage_count", "last_used_at"])
        audit.register(KeyCollection)  # its rows are made with their key, and go with their collection
