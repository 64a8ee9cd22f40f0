from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "webhooks"

    def ready(self) -> None:
        from ragsite.lib import audit  # noqa: PLC0415  models cannot be had before
        from webhooks.models import Endpoint  # noqa: PLC0415

        audit.register(Endpoint, machine_made=["failing_since"], secret=["secret", "previous_secret"])
