"""Times the hand-written libraries beside nnc-tvm: ONNX Runtime, OpenVINO and LiteRT, on one thread, each in a process of its own."""

from __future__ import annotations

import os
import pathlib
import subprocess

RUNS = 21  # inferences of a median
PEERS = {"openvino": ".onnx", "onnxruntime": ".onnx", "litert": ".tflite"}
"""What each reads."""
SCRIPT = """
import sys, time
import numpy as np
name, path, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
if name == "litert":
    from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    run = interpreter.invoke
elif name == "onnxruntime":
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    source = session.get_inputs()[0]
    x = np.random.default_rng(0).standard_normal([d if isinstance(d, int) else 1 for d in source.shape]).astype(np.float32)
    def run(): return session.run(None, {source.name: x})
else:
    import openvino
    core = openvino.Core()
    model = core.read_model(path)
    shape = [d.get_length() if d.is_static else 1 for d in model.inputs[0].partial_shape]
    model.reshape(shape)
    options = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(model, "CPU", options).create_infer_request()
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    def run(): return request.infer({0: x})
times = []
for _ in range(runs + 3):
    start = time.perf_counter()
    run()
    times.append((time.perf_counter() - start) * 1e3)
print(float(np.median(times[3:])))
"""


def peer_ms(python: str | pathlib.Path, name: str, model: pathlib.Path, **environment: str) -> float | None:
    """Median milliseconds of the peer `name` of PEERS; None where `python` lacks it or it does not read the model."""
    if model.suffix != PEERS[name]:
        return None
    done = subprocess.run([python, "-c", SCRIPT, name, model, str(RUNS)], env={**os.environ, **environment}, capture_output=True, text=True)
    return float(done.stdout) if done.returncode == 0 else None
