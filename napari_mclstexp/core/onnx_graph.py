"""The image encoder as an ONNX graph, written node by node from its weights.

The same sums as :mod:`.fused`, in the terms of ONNX: a normalisation after a convolution is part of its
weights, and a transition averages before it multiplies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from napari_mclstexp.core.model import STRIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_mclstexp.core.model import ImageEncoder

OPSET, IR = 17, 8
"""Versions that ONNX Runtime has read since 2022."""
BLOCKS = 4


def image_encoder_graph(encoder: ImageEncoder, share: int | None = None) -> bytes:
    """Write the graph of an image encoder.

    Parameters
    ----------
    encoder : ImageEncoder
        In evaluation state.
    share : int, optional
        To end with the maps of :meth:`.fused.FusedEncoder.maps` instead, shifts in the order of poolings, for
        pictures of 32 - 32 / share px more than a multiple of 32, a side.

    Returns
    -------
    bytes
        An ONNX model: ``patches`` (B, 3, H, W) float32 RGB in [0, 1], margin included, to ``features``
        (B, 1024).
    """
    graph, maps = _Graph(), encoder.features
    at = "patches"
    if encoder.corrected:
        at = graph.add("Sub", at, graph.weight(_array(encoder.mean)))
        at = graph.add("Div", at, graph.weight(_array(encoder.std)))
    at = graph.convolution(at, maps.conv0, maps.norm0)
    at = graph.add("MaxPool", at, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for i in range(1, BLOCKS + 1):
        for layer in getattr(maps, f"denseblock{i}").children():
            mixed = graph.convolution(graph.normalised(at, layer.norm1), layer.conv1, layer.norm2)
            at = graph.add("Concat", at, graph.convolution(mixed, layer.conv2), axis=1)
        if i < BLOCKS:
            transition = getattr(maps, f"transition{i}")
            at = graph.normalised(at, transition.norm)
            if share is not None and 2 ** (BLOCKS - i) <= share:
                at = graph.shifted(at)
            at = graph.add("AveragePool", at, kernel_shape=[2, 2], strides=[2, 2])
            at = graph.convolution(at, transition.conv)
    at = graph.normalised(at, maps.norm5, relu=encoder.corrected)
    if share is not None:
        return graph.model(at, ["shifts", 1024, "h", "w"])
    if encoder.margin_px:
        cells = encoder.margin_px // STRIDE
        ends = (np.array([at, at]) for at in (cells, -cells))
        at = graph.add("Slice", at, *map(graph.whole, ends), graph.whole(np.array([2, 3])))
    return graph.model(graph.add("Flatten", graph.add("GlobalAveragePool", at), axis=1), ["batch", 1024])


class _Graph:
    """Nodes in order, each with one output that has a name of its own."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def weight(self, values: NDArray[np.floating]) -> str:
        name = f"weight{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype=np.float32), name))
        return name

    def whole(self, numbers: NDArray[np.int64]) -> str:
        name = f"numbers{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(numbers.astype(np.int64), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def shifted(self, at: str) -> str:
        """Maps (B, C, H, W), of odd sides, from each of four corners on, as (4 B, C, H - 1, W - 1)."""
        axes, parts = self.whole(np.array([2, 3])), []
        for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
            ends = np.array([2**31 - 1 if start else -1 for start in corner])
            parts.append(self.add("Slice", at, self.whole(np.array(corner)), self.whole(ends), axes))
        return self.add("Concat", *parts, axis=0)

    def normalised(self, at: str, norm: Any, *, relu: bool = True) -> str:
        parts = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        found = self.add(
            "BatchNormalization", at, *(self.weight(_array(part)) for part in parts), epsilon=norm.eps
        )
        return self.add("Relu", found) if relu else found

    def convolution(self, at: str, convolution: Any, norm: Any = None) -> str:
        """A convolution; with the normalisation and ReLU that follow it, where they are given."""
        weights = [_array(convolution.weight)]
        if norm is not None:
            mean, variance, gain, shift = map(
                _array, (norm.running_mean, norm.running_var, norm.weight, norm.bias)
            )
            scale = gain / np.sqrt(variance + norm.eps)
            weights = [weights[0] * scale[:, None, None, None], shift - mean * scale]
        (side, _), (stride, _), (edge, _) = convolution.kernel_size, convolution.stride, convolution.padding
        found = self.add(
            "Conv",
            at,
            *map(self.weight, weights),
            kernel_shape=[side, side],
            strides=[stride, stride],
            pads=[edge] * 4,
        )
        return found if norm is None else self.add("Relu", found)

    def model(self, output: str, shape: list[int | str]) -> bytes:
        self._nodes.append(helper.make_node("Identity", [output], ["features"]))
        patches = helper.make_tensor_value_info("patches", TensorProto.FLOAT, ["batch", 3, "height", "width"])
        features = helper.make_tensor_value_info("features", TensorProto.FLOAT, shape)
        graph = helper.make_graph(self._nodes, "image_encoder", [patches], [features], self._weights)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        onnx.checker.check_model(made)
        return bytes(made.SerializeToString())


def _array(tensor: Tensor) -> NDArray[np.float64]:
    return np.asarray(tensor.detach().cpu().double())
