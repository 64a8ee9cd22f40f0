from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        from accounts import schema  # noqa: F401, PLC0415  importing registers the extension
        from accounts.models import Tenant, User  # noqa: PLC0415  models cannot be had before
        from ragsite.lib import audit  # noqa: PLC0415

        audit.register(Tenant, machine_made=["corpus_version"])
        audit.register(User, machine_made=["last_login"], secret=["password"])
