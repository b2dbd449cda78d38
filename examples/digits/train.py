"""Trains the digits network, quantizes it to INT8 and writes the models and test images beside this file.

    pip install -e '.[train]' && python examples/digits/train.py
"""

from __future__ import annotations

import pathlib

import numpy as np
import onnx
import torch
from network import DigitsNet
from quantize import quantized_model, session
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from to_onnx import IMAGE, float_model

FOLDER = pathlib.Path(__file__).parent
SEED = 0
EPOCHS, BATCH, CALIBRATION_IMAGES = 80, 64, 300


def load_images() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images, test images, training labels, test labels: float32 [N, 1, 8, 8] in [0, 1] and int64 [N]; one image in five tests."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    return tuple(train_test_split(images, labels.astype(np.int64), test_size=0.2, stratify=labels, random_state=SEED))


def train(images: np.ndarray, labels: np.ndarray) -> DigitsNet:
    """A trained network in eval mode; the same on every run of one machine and PyTorch version."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    network = DigitsNet()
    optimizer = torch.optim.AdamW(network.parameters(), 0.005, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()
        schedule.step()
    return network.eval()


def accuracy(model: onnx.ModelProto, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of `images` that ONNX Runtime classifies as labelled."""
    runner = session(model)
    return float(np.mean([runner.run(None, {IMAGE: image})[0].argmax() == label for image, label in zip(images[:, None], labels, strict=True)]))


def main() -> None:
    train_images, test_images, train_labels, test_labels = load_images()
    float32 = float_model(train(train_images, train_labels))
    int8 = quantized_model(float32, train_images[:CALIBRATION_IMAGES])
    for name, model in (("digits_float", float32), ("digits_int8", int8)):
        onnx.save(model, FOLDER / f"{name}.onnx")
        print(f"{name}: {accuracy(model, test_images, test_labels):.2%} of {len(test_labels)} test images, {len(model.SerializeToString())} bytes")
    np.savez_compressed(FOLDER / "digits_test.npz", image=test_images, label=test_labels)


if __name__ == "__main__":
    main()
