"""Writes the ONNX graph of all-MiniLM-L6-v2 from its published weights, in operators that ONNX Runtime's CPU does best.

The architecture is BERT (Devlin et al., 2018) as sized by MiniLM (Wang et al., 2020): 6 layers, 12 heads, 384 wide.
The operators of `com.microsoft` are described in ONNX Runtime's ContribOperators.md.
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
GRAPH_VERSION = 3  # raise it with every change of what is written here: files of another version are not used

_LAYERS = 6
_HEADS = 12
_EPSILON = 1e-12  # config.json of the model, layer_norm_eps
_OPSET = 23  # the first with Attention
_FUSED = "com.microsoft"

# One bit less than int8 has. Without VNNI, x86 adds pairs of uint8 x int8 products in 16 bits, which saturates on
# full-range weights: the vectors would then be wrong on older processors alone.
_INT8_WEIGHT_RANGE = 64
# GELU is never below -0.17, so that its zero may stand near the bottom of uint8, which leaves finer steps above it.
_GELU_MINIMUM = -0.17
_GELU_ZERO = 32

Weights = Mapping[str, NDArray[np.float32]]


class Precision(StrEnum):
    """What the matrix products are computed in."""

    FP32 = "fp32"
    INT8 = "int8"


def read_safetensors(data: bytes) -> dict[str, NDArray[np.float32]]:
    """The float32 tensors by name. The file: an 8-byte little-endian length, a JSON header of that length, the data."""
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
    """Returns a serialized model: `ids`, int32 (texts, pieces), to `vectors`, float32 (texts, 384), unit length.

    The texts of a batch are equally long. Without padding there is no mask, which costs attention a third of its time.
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
        ]
        return self.fused("EmbedLayerNormalization", inputs, ["embedded", "no_mask"], epsilon=_EPSILON)

    def layer(self, x: str, name: str) -> str:
        # What a key's bias adds is the same for all keys, and the softmax cancels it. A value's comes out as it went
        # in, so that it is added behind the next product, whose bias takes it in.
        value_bias = self.weights[f"{name}.attention.self.value.bias"]
        attended = self.attention(x, f"{name}.attention.self")
        output = f"{name}.attention.output"
        product = self.linear(attended, f"{output}.dense")
        bias = self.weights[f"{output}.dense.bias"] + value_bias @ self.weights[f"{output}.dense.weight"].T
        x = self.residual(product, x, output, bias=bias)
        product = self.linear(self.inner(x, f"{name}.intermediate.dense"), f"{name}.output.dense", gelu=True)
        return self.residual(product, x, f"{name}.output", bias=self.weights[f"{name}.output.dense.bias"])

    def inner(self, x: str, name: str) -> str:
        self.node("Add", [self.linear(x, name), self.weight(f"{name}.bias")], [f"{name}.biased"])
        return self.node("Gelu", [f"{name}.biased"], [f"{name}.gelu"])

    def residual(self, product: str, skip: str, name: str, *, bias: NDArray[np.float32]) -> str:
        # Not SkipLayerNormalization: on the CPU it takes seven times as long as these three.
        self.node("Add", [product, skip], [f"{name}.sum"])
        self.node("Add", [f"{name}.sum", self.constant(f"{name}.bias", bias)], [f"{name}.biased"])
        normalization = [self.weight(f"{name}.LayerNorm.{part}") for part in ("weight", "bias")]
        return self.node("LayerNormalization", [f"{name}.biased", *normalization], [name], epsilon=_EPSILON)

    def attention(self, x: str, name: str) -> str:
        """Without the biases of keys and values; see `layer`."""
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        weight = np.concatenate([self.weights[f"{part}.weight"].T for part in parts], axis=1)
        self.node("Split", [self.product(x, f"{name}.product", weight=weight)], parts, axis=2, num_outputs=3)
        query, key, value = parts
        self.node("Add", [query, self.weight(f"{query}.bias")], [f"{query}.biased"])
        inputs = [f"{query}.biased", key, value]
        return self.node("Attention", inputs, [name], q_num_heads=_HEADS, kv_num_heads=_HEADS)

    def linear(self, x: str, name: str, *, gelu: bool = False) -> str:
        """The product alone. `gelu`: whether that is where `x` comes from."""
        return self.product(x, name, weight=self.weights[f"{name}.weight"].T, gelu=gelu)

    def product(self, x: str, name: str, *, weight: NDArray[np.float32], gelu: bool = False) -> str:
        if self.precision is Precision.FP32:
            return self.node("MatMul", [x, self.constant(f"{name}.weight", weight)], [name])
        quantized, row_scales = self.quantize_rows(x, name, gelu=gelu)
        values, column_scales = _quantize_columns(weight)
        inputs = [
            quantized,
            self.constant(f"{name}.int8", values),
            "one",
            self.constant(f"{name}.scales", column_scales),
            _zero(gelu=gelu),
        ]
        product = self.fused("MatMulIntegerToFloat", inputs, [f"{name}.scaled"])
        return self.node("Mul", [product, row_scales], [name])

    def quantize_rows(self, x: str, name: str, *, gelu: bool) -> tuple[str, str]:
        """Returns x in uint8 around a zero point, and the scale of each row.

        A scale for the whole tensor, which is what DynamicQuantizeLinear, DynamicQuantizeMatMul and QAttention know,
        would make a text's vector depend on the texts beside it: the same text alone and in a batch came out at a
        cosine of down to 0.96.
        """
        zero = _zero(gelu=gelu)
        size = x if gelu else self.node("Abs", [x], [f"{name}.absolute"])
        self.node("ReduceMax", [size, "last_axis"], [f"{name}.largest"], keepdims=1)
        self.node("Mul", [f"{name}.largest", f"{zero}_step"], [f"{name}.steps"])
        self.node("Max", [f"{name}.steps", f"{zero}_least"], [f"{name}.row_scales"])
        self.node("Div", [x, f"{name}.row_scales"], [f"{name}.divided"])
        self.node("QuantizeLinear", [f"{name}.divided", "one", zero], [f"{name}.uint8"])
        return f"{name}.uint8", f"{name}.row_scales"

    def int8_constants(self) -> None:
        self.constant("one", np.array(1, np.float32))
        self.constant("last_axis", np.array([-1], np.int64))
        self.constant("middle", np.array(128, np.uint8))
        self.constant("middle_step", np.array(1 / 127, np.float32))
        self.constant("middle_least", np.array(1e-9, np.float32))  # a row of nothing but zeros divides by it
        self.constant("low", np.array(_GELU_ZERO, np.uint8))
        self.constant("low_step", np.array(1 / (255 - _GELU_ZERO), np.float32))
        self.constant("low_least", np.array(-_GELU_MINIMUM / _GELU_ZERO, np.float32))

    def pool(self, x: str) -> None:
        """The mean over a text's pieces, at unit length."""
        axis = self.constant("axis", np.array([1], np.int64))
        self.node("ReduceMean", [x, axis], ["mean"], keepdims=0)
        self.node("LpNormalization", ["mean"], ["vectors"], axis=1, p=2)

    def serialize(self, metadata: Mapping[str, str]) -> bytes:
        value = onnx.helper.make_tensor_value_info
        inputs = [value("ids", onnx.TensorProto.INT32, ["texts", "pieces"])]
        outputs = [value("vectors", onnx.TensorProto.FLOAT, ["texts", DIMENSIONS])]
        graph = onnx.helper.make_graph(self.nodes, "all-MiniLM-L6-v2", inputs, outputs, self.constants)
        opsets = [onnx.helper.make_opsetid("", _OPSET), onnx.helper.make_opsetid(_FUSED, 1)]
        # The oldest file format that may carry this opset, so that no ONNX Runtime finds the file too new.
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=11)
        onnx.helper.set_model_props(model, dict(metadata))
        serialized: bytes = model.SerializeToString()
        return serialized


def _zero(*, gelu: bool) -> str:
    """The constant that zero becomes in uint8."""
    return "low" if gelu else "middle"


def _quantize_columns(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Returns int8 values of the weight's shape and one float32 scale a column, symmetric around zero."""
    scales = np.abs(weight).max(axis=0) / _INT8_WEIGHT_RANGE
    return np.rint(weight / scales).astype(np.int8), scales.astype(np.float32)
