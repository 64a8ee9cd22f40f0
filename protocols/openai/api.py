"""The part of OpenAI's API that its clients need to ask ragsite: chat completions, embeddings and models."""

from dataclasses import replace

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys import callers
from apikeys.permissions import CanQuery, HasBudget
from apikeys.purses import CallersPurse
from protocols.openai import catalog, vectors
from protocols.openai.completions import CompletionFace
from protocols.openai.serializers import (
    ChatCompletionIn,
    ChatCompletionOut,
    EmbeddingsIn,
    EmbeddingsOut,
    ListedModelOut,
    ModelListOut,
)
from protocols.programs import ProgramView
from queries import replies
from queries.answers import Ask
from ragsite.lib import server_sent
from ragsite.lib.errors import FieldError, Invalid
from ragsite.lib.middleware import request_id

A_CHAT = OpenApiExample(
    "A question",
    {"model": "ragsite", "messages": [{"role": "user", "content": "How do I rotate an API key?"}]},
    request_only=True,
)


class ChatView(ProgramView):
    permission_classes = [CanQuery, HasBudget]

    @extend_schema(
        request=ChatCompletionIn,
        examples=[A_CHAT],
        responses={(200, "application/json"): ChatCompletionOut, (200, server_sent.EVENTS): OpenApiTypes.STR},
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Ask as OpenAI's clients do. The last user message is the question; the answer's sources are in `sources`."""
        body = ChatCompletionIn(data=request.data)
        body.is_valid(raise_exception=True)
        data = body.validated_data
        ask = _within(body.ask(), catalog.collection(callers.of(request), data["model"]))
        face = CompletionFace(request_id(request), data["model"], body.wants_usage)
        return replies.reply(request, ask, stream=data["stream"], use_cache=data["use_cache"], face=face)


def _within(ask: Ask, collection: str | None) -> Ask:
    """The question, limited to the collection that its model stands for."""
    if collection is None:
        return ask
    if ask.collection is not None:
        wrong = FieldError("collection", "invalid", "The model names a collection already.")
        raise Invalid("Some fields are wrong.", fields=[wrong])
    return replace(ask, collection=collection)


class EmbeddingsView(ProgramView):
    permission_classes = [CanQuery, HasBudget]

    @extend_schema(request=EmbeddingsIn, responses=EmbeddingsOut)
    def post(self, request: Request) -> Response:
        """Vectors of texts, by the model that the documents are embedded with."""
        body = EmbeddingsIn(data=request.data)
        body.is_valid(raise_exception=True)
        data = body.validated_data
        space = catalog.space(data["model"], dimensions=data.get("dimensions"))
        caller = callers.of(request)
        purse = CallersPurse(caller, request_id(request))
        found, spent = vectors.embed(space, data["input"], owner=caller.tenant_id, purse=purse)
        shown = vectors.shown(found, encoding=data["encoding_format"] or "float")
        tokens = {"prompt_tokens": spent.prompt_tokens, "total_tokens": spent.prompt_tokens}
        return Response({"object": "list", "data": shown, "model": space.model, "usage": tokens})


class ModelsView(ProgramView):
    permission_classes = [CanQuery]

    @extend_schema(operation_id="v1_models_list", responses=ModelListOut)
    def get(self, request: Request) -> Response:
        """The models: one for everything that the key may read, one a collection, and the one that embeds."""
        return Response({"object": "list", "data": catalog.listed(callers.of(request))})


class ModelView(ProgramView):
    permission_classes = [CanQuery]

    @extend_schema(responses=ListedModelOut)
    def get(self, request: Request, model: str) -> Response:
        """One of them, by its name."""
        return Response(catalog.one(callers.of(request), model))
