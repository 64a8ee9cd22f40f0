from django.apps import AppConfig

from protocols.mcp import errors as of_mcp
from protocols.openai import errors as of_openai
from ragsite.lib import error_forms


class ProtocolsConfig(AppConfig):
    name = "protocols"

    def ready(self) -> None:
        error_forms.use(of_openai.told, below="v1")
        error_forms.use(of_mcp.told, below="mcp")
