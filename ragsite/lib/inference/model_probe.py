"""Whether a model answers, and what of it can be relied on: asked directly, past breakers and retries."""

import json
import time
from dataclasses import dataclass, replace

import openai

from ragsite.lib.errors import AppError, ModelRefused
from ragsite.lib.inference import embedding_endpoint, embeddings, llm, reranker, vendor_errors
from ragsite.lib.inference.embeddings import EmbeddingModel
from ragsite.lib.inference.llm import ChatEndpoint, StreamedAnswer
from ragsite.lib.inference.reranker import Reranker
from ragsite.lib.inference.vendor_client import Endpoint, client, run
from ragsite.lib.inference.vendor_tries import Try

_QUESTION = [{"role": "user", "content": "Reply with the word: ready"}]
_TEXTS = ["Tea is served in the garden.", "Visitors park behind the mill."]  # to be put into an order
_FAILURES = (openai.OpenAIError, AppError, TimeoutError)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What was found out; None: it did not come to that, or it is no question for this kind of model.

    `milliseconds`: until the whole answer. `problem`: what went wrong, for operators; never a key.
    """

    reachable: bool | None = None
    authenticated: bool | None = None
    model_known: bool | None = None
    answers: bool | None = None
    streams: bool | None = None
    reports_usage: bool | None = None
    milliseconds: float | None = None
    first_token_ms: float | None = None
    problem: str = ""

    @property
    def is_well(self) -> bool:
        """An endpoint that reports no tokens serves all the same; its answers are counted as the most they can cost."""
        return self.answers is True and self.streams is not False


_ANSWERS = Probe(reachable=True, authenticated=True, model_known=True, answers=True)


def chat(endpoint: ChatEndpoint, *, seconds: float) -> Probe:
    """Asks it, whole and then streamed, each for so long at most."""
    body = llm.body_of(endpoint, _QUESTION)
    tried, began = Try(endpoint.name, endpoint.model), time.monotonic()
    try:
        run(llm.whole(client(endpoint), tried, endpoint=endpoint, body=body), seconds)
    except _FAILURES as error:
        return _failed(error, endpoint)
    found = replace(_ANSWERS, milliseconds=_since(began), reports_usage=_is_counted(tried))
    tried, began = Try(endpoint.name, endpoint.model), time.monotonic()
    try:
        answer = run(llm.streamed(client(endpoint), tried, endpoint=endpoint, body=body), seconds)
        found = replace(found, streams=True, first_token_ms=_since(began))
        run(_read_out(answer), seconds)
    except _FAILURES as error:
        return replace(found, streams=False, problem=vendor_errors.said(error, endpoint))
    return replace(found, reports_usage=found.reports_usage and _is_counted(tried))


def embedding(model: EmbeddingModel, *, seconds: float) -> Probe:
    """Embeds one text, whose vector must have as many dimensions as the space."""
    began = time.monotonic()
    if model.provider == "local":
        embeddings.dimensions(model)
        return Probe(answers=True, milliseconds=_since(began))
    endpoint = embedding_endpoint.endpoint_of(model)
    try:
        content, _ = run(
            embedding_endpoint.ask(client(endpoint), model=model, texts=[embeddings.SAMPLE]), seconds
        )
        counted = _reports_tokens(content)
        embedding_endpoint.read_vectors(content, count=1, dimensions=model.dimensions)
    except embedding_endpoint.TooMany as refusal:
        return _failed(refusal.__context__ or refusal.error, endpoint)
    except _FAILURES as error:
        return _failed(error, endpoint)
    return replace(_ANSWERS, milliseconds=_since(began), reports_usage=counted)


def reranking(endpoint: Reranker, *, seconds: float) -> Probe:
    """Has two texts put into an order."""
    began = time.monotonic()
    asking = reranker.ask(client(endpoint), reranker=endpoint, question="Where is the tea?", texts=_TEXTS)
    try:
        told = run(asking, seconds)
    except _FAILURES as error:
        return _failed(error, endpoint)
    return replace(_ANSWERS, milliseconds=_since(began), reports_usage=bool(told.tokens or told.searches))


async def _read_out(answer: StreamedAnswer) -> None:
    try:
        while await answer.piece():
            pass
    finally:
        await answer.close()


def _failed(error: BaseException, endpoint: Endpoint) -> Probe:
    return replace(_told_by(error), answers=False, problem=vendor_errors.said(error, endpoint))


def _told_by(error: BaseException) -> Probe:
    """How far a request came that failed so."""
    match error:
        case openai.APIConnectionError():
            return Probe(reachable=vendor_errors.may_be_billed(error))  # it is where it broke off later
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return Probe(reachable=True, authenticated=False)
        case openai.NotFoundError():
            return Probe(reachable=True, authenticated=True, model_known=False)
        case openai.BadRequestError() if error.code == "model_not_found" or error.param == "model":
            return Probe(reachable=True, authenticated=True, model_known=False)
        case openai.APIStatusError():
            return Probe(reachable=True)
        case TimeoutError():
            return Probe()
    return Probe(reachable=True, authenticated=True, model_known=not isinstance(error, ModelRefused))


def _reports_tokens(content: bytes) -> bool:
    try:
        return bool(json.loads(content)["usage"]["total_tokens"])
    except (ValueError, LookupError, TypeError):
        return False


def _is_counted(tried: Try) -> bool:
    return bool(tried.prompt_tokens or tried.completion_tokens)


def _since(moment: float) -> float:
    return round((time.monotonic() - moment) * 1000, 1)
