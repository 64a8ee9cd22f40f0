from django.apps import AppConfig


class APIKeysConfig(AppConfig):
    name = "apikeys"
    verbose_name = "API keys and usage"

    def ready(self) -> None:
        from apikeys import schema  # noqa: F401, PLC0415  importing registers the extension
