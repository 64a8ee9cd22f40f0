"""Writes the ONNX graph of all-MiniLM-L6-v2, in ONNX Runtime's fused operators, from its published weights.

The architecture is BERT (Devlin et al., 2018) as sized by MiniLM (Wang et al., 2020): 6 layers, 12 heads, 384 wide.
The fused operators are described in ONNX Runtime's ContribOperators.md.
"""

import json
import struct
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

DIMENSIONS = 384
MAX_TOKENS = 256
GRAPH_VERSION = 2  # raise it with every change of what is written here: files of another version are not used

_LAYERS = 6
_HEADS = 12
_EPSILON = 1e-12  # config.json of the model, layer_norm_eps
_OPSET = 18
_FUSED = "com.microsoft"

# One bit less than int8 has. Without VNNI, x86 adds pairs of uint8 x int8 products in 16 bits, which saturates on
# full-range weights: the vectors would then be wrong on older processors alone.
_INT8_WEIGHT_RANGE = 64

Weights = Mapping[str, NDArray[np.float32]]


class Precision(StrEnum):
    """What the matrix products are computed in."""

    FP32 = "fp32"
    INT8 = "int8"


def read_safetensors(data: bytes) -> dict[str, NDArray[np.float32]]:
    """Returns the float32 tensors by name: an 8-byte little-endian length, a JSON header of that length, then the data."""
    (length,) = struct.unpack_from("<Q", data)
    start = 8 + length
    header: dict[str, dict[str, Any]] = json.loads(data[8:start])
    return {
        name: np.frombuffer(
            data[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]], "<f4"
        ).reshape(entry["shape"])
        for name, entry in header.items()
        if entry.get("dtype") == "F32"
    }


def build(weights: Weights, *, precision: Precision, metadata: Mapping[str, str]) -> bytes:
    """Returns a serialized model: `ids` and `mask`, both int32 (batch, pieces), to `vectors`, float32 (batch, 384), unit length.

    Each row's pieces must stand at its start, its padding at its end.
    """
    graph = _Graph(weights, precision)
    if precision is Precision.INT8:
        graph.int8_constants()
    x = graph.embeddings()
    for layer in range(_LAYERS):
        x = graph.layer(x, f"encoder.layer.{layer}")
    graph.pool(x)
    return graph.serialize(metadata)


class _Graph:
    def __init__(self, weights: Weights, precision: Precision) -> None:
        self.weights = weights
        self.precision = precision
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def weight(self, name: str) -> str:
        return self.constant(name, self.weights[name])

    def node(self, op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        self.nodes.append(onnx.helper.make_node(op, inputs, outputs, name=outputs[0], **attributes))
        return outputs[0]

    def fused(self, op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        return self.node(op, inputs, outputs, domain=_FUSED, **attributes)

    def embeddings(self) -> str:
        positions = self.weights["embeddings.position_embeddings.weight"][:MAX_TOKENS]
        # Every text is segment 0, so that segment's row is added to the positions once, here.
        positions = positions + self.weights["embeddings.token_type_embeddings.weight"][0]
        inputs = [
            "ids",
            "",
            self.weight("embeddings.word_embeddings.weight"),
            self.constant("positions", positions),
            "",
            self.weight("embeddings.LayerNorm.weight"),
            self.weight("embeddings.LayerNorm.bias"),
            "mask",
        ]
        return self.fused("EmbedLayerNormalization", inputs, ["embedded", "lengths"], epsilon=_EPSILON)

    def layer(self, x: str, name: str) -> str:
        attended = self.attention(x, f"{name}.attention.self")
        x = self.residual(attended, x, f"{name}.attention.output")
        inner = self.linear(x, f"{name}.intermediate.dense")
        bias = self.weight(f"{name}.intermediate.dense.bias")
        inner = self.fused("BiasGelu", [inner, bias], [f"{name}.gelu"])
        return self.residual(inner, x, f"{name}.output")

    def residual(self, x: str, skip: str, name: str) -> str:
        inputs = [
            self.linear(x, f"{name}.dense"),
            skip,
            self.weight(f"{name}.LayerNorm.weight"),
            self.weight(f"{name}.LayerNorm.bias"),
            self.weight(f"{name}.dense.bias"),
        ]
        return self.fused("SkipLayerNormalization", inputs, [name], epsilon=_EPSILON)

    def linear(self, x: str, name: str) -> str:
        """The product alone: the operator that follows adds the bias."""
        return self.product(x, name, weight=self.weights[f"{name}.weight"].T)

    def attention(self, x: str, name: str) -> str:
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        weight = np.concatenate([self.weights[f"{part}.weight"].T for part in parts], axis=1)
        bias = self.constant(f"{name}.bias", np.concatenate([self.weights[f"{part}.bias"] for part in parts]))
        if self.precision is Precision.FP32:
            inputs = [x, self.constant(f"{name}.weight", weight), bias, "lengths"]
            return self.fused("Attention", inputs, [name], num_heads=_HEADS)
        self.node("Split", [self.product(x, f"{name}.product", weight=weight)], parts, axis=2, num_outputs=3)
        return self.fused("MultiHeadAttention", [*parts, bias, "lengths"], [name], num_heads=_HEADS)

    def product(self, x: str, name: str, *, weight: NDArray[np.float32]) -> str:
        if self.precision is Precision.FP32:
            return self.node("MatMul", [x, self.constant(f"{name}.weight", weight)], [name])
        quantized, row_scales = self.quantize_rows(x, name)
        values, column_scales = _quantize_columns(weight)
        inputs = [
            quantized,
            self.constant(f"{name}.int8", values),
            "one",
            self.constant(f"{name}.scales", column_scales),
            "middle",
        ]
        product = self.fused("MatMulIntegerToFloat", inputs, [f"{name}.scaled"])
        return self.node("Mul", [product, row_scales], [name])

    def quantize_rows(self, x: str, name: str) -> tuple[str, str]:
        """Returns x in uint8 around 128, and the scale of each row.

        A scale for the whole tensor, which is what DynamicQuantizeLinear, DynamicQuantizeMatMul and QAttention know, would make
        a text's vector depend on the texts beside it: the same text alone and in a batch came out at a cosine of down to 0.96.
        """
        self.node("Abs", [x], [f"{name}.absolute"])
        self.node("ReduceMax", [f"{name}.absolute", "last_axis"], [f"{name}.largest"], keepdims=1)
        self.node("Mul", [f"{name}.largest", "step"], [f"{name}.row_scales"])
        self.node("Div", [x, f"{name}.row_scales"], [f"{name}.steps"])
        self.node("QuantizeLinear", [f"{name}.steps", "one", "middle"], [f"{name}.uint8"])
        return f"{name}.uint8", f"{name}.row_scales"

    def int8_constants(self) -> None:
        self.constant("one", np.array(1, np.float32))
        self.constant("middle", np.array(128, np.uint8))
        self.constant("step", np.array(1 / 127, np.float32))
        self.constant("last_axis", np.array([-1], np.int64))

    def pool(self, x: str) -> None:
        """The mean over a text's pieces, at unit length: the sum does, for the count goes out with the length."""
        axis = self.constant("axis", np.array([1], np.int64))
        self.node("Cast", ["mask"], ["mask_float"], to=onnx.TensorProto.FLOAT)
        self.node("Unsqueeze", ["mask_float", axis], ["mask_row"])
        self.node("MatMul", ["mask_row", x], ["sum_row"])
        self.node("Squeeze", ["sum_row", axis], ["sum"])
        self.node("LpNormalization", ["sum"], ["vectors"], axis=1, p=2)

    def serialize(self, metadata: Mapping[str, str]) -> bytes:
        value = onnx.helper.make_tensor_value_info
        inputs = [value(name, onnx.TensorProto.INT32, ["batch", "pieces"]) for name in ("ids", "mask")]
        outputs = [value("vectors", onnx.TensorProto.FLOAT, ["batch", DIMENSIONS])]
        graph = onnx.helper.make_graph(self.nodes, "all-MiniLM-L6-v2", inputs, outputs, self.constants)
        opsets = [onnx.helper.make_opsetid("", _OPSET), onnx.helper.make_opsetid(_FUSED, 1)]
        # The oldest file format that may carry this opset, so that no ONNX Runtime finds the file too new.
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
        onnx.helper.set_model_props(model, dict(metadata))
        serialized: bytes = model.SerializeToString()
        return serialized


def _quantize_columns(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Returns int8 values of the weight's shape and one float32 scale a column, symmetric around zero."""
    scales = np.abs(weight).max(axis=0) / _INT8_WEIGHT_RANGE
    return np.rint(weight / scales).astype(np.int8), scales.astype(np.float32)
