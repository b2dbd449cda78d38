"""From a quantized ONNX model to a C program on an ARM Cortex-A53 (emulated), with the figures that matter. `make demo` runs this."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import numpy as np
import onnxruntime

FOLDER = pathlib.Path(__file__).resolve().parent
BUILD = FOLDER.parents[1] / "build" / "demo"
PACKAGE = BUILD / "digits"
NNC_TVM = pathlib.Path(sys.executable).with_name("nnc-tvm")
SHOWN = 6
INK = " .:-=+*#%@"


def heading(text: str) -> None:
    print(f"\n== {text}", flush=True)


def command(*arguments: str | pathlib.Path, capture: bool = False) -> str:
    """Shows and runs a command; returns what it printed where `capture`. Ends the demo where it fails."""
    words = [str(a) for a in arguments]
    print("$ " + " ".join(pathlib.Path(w).name if w == str(NNC_TVM) else w.replace(f"{BUILD.parents[1]}/", "") for w in words), flush=True)
    done = subprocess.run(words, stdout=subprocess.PIPE if capture else None, text=True)
    if done.returncode:
        sys.exit(f"the demo stops: {words[0]} exited with {done.returncode}")
    return done.stdout or ""


def onnx_runtime_classes(model: pathlib.Path, images: np.ndarray) -> np.ndarray:
    """Class of each image, float32 [N, 1, 8, 8], by ONNX Runtime, the graph as written."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return np.array([session.run(None, {"image": image})[0].argmax() for image in images[:, None]])


def picture(image: np.ndarray, caption: str) -> list[str]:
    """Lines of text, 18 columns wide, that show one image, float32 [1, 8, 8] in [0, 1]."""
    rows = [" ".join(INK[round(float(pixel) * (len(INK) - 1))] for pixel in row) for row in image[0]]
    return [f"{line:18}" for line in [*rows, caption]]


def main() -> None:
    with np.load(FOLDER / "digits_test.npz") as test:
        images, labels = test["image"], test["label"]
    BUILD.mkdir(parents=True, exist_ok=True)
    images[0].tofile(BUILD / "image.bin")
    np.savez(BUILD / "images.npz", image=images)

    heading("an INT8 ONNX model into a C package for an ARM Cortex-A53")
    command(NNC_TVM, "compile", FOLDER / "digits_int8.onnx", "--target", "arm_cpu", "--mcpu", "cortex-a53", "--name", "digits", "-o", PACKAGE)

    heading(f"its C example, cross-compiled, on one test image (a {labels[0]}) under qemu")
    command("make", "--silent", "--no-print-directory", "-C", PACKAGE, "run", f"INPUTS={BUILD / 'image.bin'}")

    heading(f"all {len(labels)} test images through the package, under qemu")
    command(NNC_TVM, "run", PACKAGE, "--inputs", BUILD / "images.npz", "--outputs", BUILD / "logits.npz")
    with np.load(BUILD / "logits.npz") as outputs:
        classes = outputs["logits"].argmax(-1)
    first_of_class = np.unique(labels, return_index=True)[1]
    chosen = [*first_of_class[: SHOWN - 1], *np.flatnonzero(classes != labels)[:1]]  # the last is a mistake
    print()
    for parts in zip(*(picture(images[i], f"is {labels[i]}, said {classes[i]}") for i in chosen), strict=True):
        print("  ".join(parts))

    heading("accuracy on the test images")
    rows = {
        "float32 model, ONNX Runtime": onnx_runtime_classes(FOLDER / "digits_float.onnx", images),
        "INT8 model, ONNX Runtime": onnx_runtime_classes(FOLDER / "digits_int8.onnx", images),
        "INT8 package, Cortex-A53": classes,
    }
    for name, predicted in rows.items():
        print(f"{name:28} {np.mean(predicted == labels):7.2%}")
    print(f"the package and ONNX Runtime agree on {np.sum(classes == rows['INT8 model, ONNX Runtime'])} of {len(labels)} images")

    heading("what it costs on the device")
    figures = json.loads(command(NNC_TVM, "bench", PACKAGE, "--json", capture=True))
    manifest = json.loads((PACKAGE / "manifest.json").read_text())
    print(f"RAM, arena                   {figures['arena_bytes']:8,} bytes (no plan can need less than {manifest['arena_lower_bound_bytes']:,})")
    print(f"flash, weights               {figures['weights_bytes']:8,} bytes (the .onnx file: {(FOLDER / 'digits_int8.onnx').stat().st_size:,})")
    print(f"flash, code                  {figures['code_bytes']:8,} bytes")
    print(f"instructions per inference   {figures['guest_instructions']:8,.0f}")

    heading("layer by layer")
    command(NNC_TVM, "inspect", PACKAGE)
    print(f"\nThe package is in {PACKAGE.relative_to(BUILD.parents[1])}: a header, readable C, a static library, Make and CMake files.")


if __name__ == "__main__":
    main()
