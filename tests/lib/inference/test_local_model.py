import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ragsite.lib.inference import local_model
from ragsite.lib.inference.local_model import LocalModel, ModelUnavailable, Precision

TEXTS = [
    "The wing stalls when its angle of attack grows too large.",
    "Quarterly revenue rose by nine percent, driven by subscriptions.",
    "An airfoil loses lift beyond the critical angle.",
    "Boil the potatoes for twenty minutes.",
    "heat transfer in a laminar boundary layer " * 12,
    "",
]
# The first numbers of the vector that sentence-transformers gives TEXTS[0] with the same weights.
PUBLISHED = [0.05224215, 0.07530548, -0.03995056, 0.03307423]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def fp32(directory: Path) -> LocalModel:
    return LocalModel(directory, precision=Precision.FP32, threads=2)


@pytest.fixture(scope="module")
def int8(directory: Path) -> LocalModel:
    return LocalModel(directory, precision=Precision.INT8, threads=2)


@pytest.fixture(params=["fp32", "int8"])
def model(request: pytest.FixtureRequest) -> LocalModel:
    loaded: LocalModel = request.getfixturevalue(request.param)
    return loaded


def make_package(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package of weights, with nothing in it yet."""
    (directory / "package" / "model").mkdir(parents=True)
    spec = ModuleSpec("weights", None, is_package=True)
    spec.submodule_search_locations = [str(directory / "package")]
    monkeypatch.setattr(local_model, "find_spec", lambda _: spec)
    return directory / "package" / "model"


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((a * b).sum(axis=1))


def prepare_int8(directory: Path) -> None:
    local_model.prepare(directory, precision=Precision.INT8)


def test_each_text_has_one_vector_of_unit_length(model: LocalModel) -> None:
    vectors = model.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), local_model.DIMENSIONS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_no_texts_have_no_vectors(fp32: LocalModel) -> None:
    assert fp32.embed([]).shape == (0, local_model.DIMENSIONS)


def test_vectors_come_in_the_order_of_the_texts_whatever_shares_their_batch(
    model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = np.vstack([model.embed([text]) for text in TEXTS])
    assert cosines(model.embed(TEXTS), alone).min() > 0.9999
    monkeypatch.setattr(local_model, "_TOKENS_A_BATCH", 40)
    monkeypatch.setattr(local_model, "_TEXTS_A_WINDOW", 4)
    assert cosines(model.embed(TEXTS), alone).min() > 0.9999


def test_batches_hold_texts_of_one_length_within_the_budget_the_longest_first() -> None:
    lengths = [256, 3, 200, 256, 3, 256, 300, *[3] * 200]
    batches = list(local_model._batches(lengths))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert [(lengths[batch[0]], len(batch)) for batch in batches] == [
        (300, 1),
        (256, 2),
        (256, 1),
        (200, 1),
        (3, 170),
        (3, 32),
    ]
    assert all(len({lengths[row] for row in batch}) == 1 for batch in batches)


def test_texts_on_one_topic_are_nearer_than_texts_on_two(model: LocalModel) -> None:
    wing, revenue, airfoil, potatoes = model.embed(TEXTS[:4])
    assert wing @ airfoil > 0.5
    assert max(wing @ revenue, wing @ potatoes) < 0.2


def test_only_the_first_256_pieces_are_read(fp32: LocalModel) -> None:
    read = "wing " * (local_model.MAX_TOKENS - 2)  # each is one piece, and two more open and close a text
    full, longer, shorter = fp32.embed([read, read + "revenue " * 100, read[:-10] + " revenue"])
    assert full @ longer > 0.99999
    assert full @ shorter < 0.9999


def test_int8_is_near_fp32(fp32: LocalModel, int8: LocalModel) -> None:
    assert cosines(fp32.embed(TEXTS), int8.embed(TEXTS)).min() >= 0.97


def test_vectors_are_those_of_the_published_model(fp32: LocalModel) -> None:
    vector = fp32.embed([TEXTS[0]])[0]
    np.testing.assert_allclose(vector[:4], PUBLISHED, atol=1e-5)


def test_threads_share_a_model(fp32: LocalModel) -> None:
    expected = fp32.embed(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: fp32.embed(TEXTS), range(4)))
    np.testing.assert_allclose(found, [expected] * 4, atol=1e-5)


def test_text_that_is_no_unicode_is_embedded(fp32: LocalModel) -> None:
    assert fp32.embed(["half a pair: \ud800"]).shape == (1, local_model.DIMENSIONS)


def test_a_prepared_file_is_used_as_it_is(directory: Path, int8: LocalModel) -> None:
    before = local_model.prepare(directory, precision=Precision.INT8).stat()
    after = local_model.prepare(directory, precision=Precision.INT8).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_processes_that_prepare_at_once_leave_one_valid_file(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=prepare_int8, args=(tmp_path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(list(tmp_path.iterdir())) == 1
    assert LocalModel(tmp_path, precision=Precision.INT8, threads=1).embed(["wing"]).shape == (1, 384)


def test_missing_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_model, "find_spec", lambda _: None)
    with pytest.raises(ModelUnavailable, match="not installed"):
        local_model.prepare(tmp_path, precision=Precision.FP32)


def test_weights_that_are_missing_or_not_the_published_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = make_package(tmp_path, monkeypatch)
    with pytest.raises(ModelUnavailable, match="cannot be read"):
        local_model.prepare(tmp_path / "models", precision=Precision.FP32)
    (package / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(ModelUnavailable, match="SHA-256"):
        local_model.prepare(tmp_path / "models", precision=Precision.FP32)
    assert not (tmp_path / "models").exists()


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        local_model.prepare(tmp_path, precision=Precision.INT8)
    assert list(tmp_path.iterdir()) == []
