"""Tries out every model that the settings name. The requests are real: vendors bill them, and no budget is charged."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from documents.embedding import spaces
from documents.searching import reranking
from queries.generating import chat_models, completion, generation
from ragsite.lib.inference import circuits, embedding_endpoint, model_probe
from ragsite.lib.inference.model_probe import Probe
from ragsite.lib.inference.vendor_client import Endpoint

# For each of the two requests of a probe, so that an admin page that waits for both is answered in time.
SECONDS = 12.0
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Model:
    """`serves`: what the model is for. `circuit`: the state of its endpoint's circuit; empty where it has none."""

    serves: str
    endpoint: str
    model: str
    circuit: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    model: Model
    probe: Probe

    def shown(self) -> dict[str, Any]:
        return {**asdict(self.model), "well": self.probe.is_well, **asdict(self.probe)}


_QUOTED = Model("answers", endpoint="", model="quoted from the documents, no model")

Planned = tuple[Model, Callable[[], Probe]]


def configured() -> list[Model]:
    """The models that `check` would try out."""
    return [model for model, _ in _probes()]


def check() -> list[Checked]:
    """Tries out all models, several at a time."""
    probes = _probes()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = [(model, pool.submit(probe)) for model, probe in probes]
        return [Checked(model, future.result()) for model, future in found]


def _probes() -> list[Planned]:
    return [*_of_answers(), *_of_embeddings(), *_of_reranking()]


def _of_answers() -> Iterator[Planned]:
    if not generation.is_by_model():
        yield _QUOTED, lambda: Probe(answers=True)
        return
    for number, listed in enumerate(chat_models.listed()):
        endpoint = completion.endpoint_of(listed)
        serves = f"answers, fallback {number}" if number else "answers"
        yield _model(serves, endpoint, listed.model), partial(model_probe.chat, endpoint, seconds=SECONDS)


def _of_embeddings() -> Iterator[Planned]:
    for space in filter(None, [spaces.active(), spaces.building()]):
        made_by = spaces.model(space)
        serves = "embeddings" if space.state == "active" else "embeddings, being built"
        probe = partial(model_probe.embedding, made_by, seconds=SECONDS)
        if made_by.provider == "local":
            yield Model(serves, "this machine", made_by.model), probe
        else:
            yield _model(serves, embedding_endpoint.endpoint_of(made_by), made_by.model), probe


def _of_reranking() -> Iterator[Planned]:
    if reranking.is_on():
        endpoint = reranking.configured()
        yield (
            _model("reranking", endpoint, endpoint.model),
            partial(model_probe.reranking, endpoint, seconds=SECONDS),
        )


def _model(serves: str, endpoint: Endpoint, model: str) -> Model:
    return Model(serves, endpoint.name, model, circuits.of(endpoint).state)
