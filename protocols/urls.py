from django.urls import path

from protocols.mcp.api import MCPView
from protocols.openai import api

urlpatterns = [
    path("v1/chat/completions", api.ChatView.as_view(), name="openai-chat"),
    path("v1/embeddings", api.EmbeddingsView.as_view(), name="openai-embeddings"),
    path("v1/models", api.ModelsView.as_view(), name="openai-models"),
    # A collection's name may have slashes in it, and its model has one in any case.
    path("v1/models/<path:model>", api.ModelView.as_view(), name="openai-model"),
    path("mcp", MCPView.as_view(), name="mcp"),
]
