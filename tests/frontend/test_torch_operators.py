"""Operators of PyTorch, one or a few at a time, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from nnc_tvm.frontend import load  # noqa: E402
from nnc_tvm.reference import run_program  # noqa: E402
from nnc_tvm.relay_passes.pipeline import to_program  # noqa: E402
from tests.frontend.torch_models import export  # noqa: E402

SEED = 37
IMAGE, SERIES, ROWS = (1, 4, 8, 6), (1, 4, 10), (2, 12)


class Recurrent(nn.Module):
    """The states of every step."""

    def __init__(self, cells: Any) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, x: Any) -> Any:
        return self.cells(x)[0]


CASES: list[tuple[str, Callable[[Any], Any], tuple[int, ...]]] = [
    ("nearest", lambda x: functional.interpolate(x, scale_factor=2), IMAGE),
    ("bilinear", lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear"), IMAGE),
    ("bilinear, corners aligned", lambda x: functional.interpolate(x, size=(5, 7), mode="bilinear", align_corners=True), IMAGE),
    ("pixel shuffle", lambda x: functional.pixel_shuffle(x, 2), IMAGE),
    ("group norm", nn.GroupNorm(2, 4), IMAGE), ("group norm alone", nn.GroupNorm(2, 4, affine=False), IMAGE),
    ("instance norm", nn.InstanceNorm2d(4), IMAGE), ("prelu", nn.PReLU(4), IMAGE),
    ("softplus", functional.softplus, IMAGE), ("log softmax", lambda x: functional.log_softmax(x, 1), IMAGE),
    ("matrices by themselves", lambda x: x @ x.transpose(-1, -2), SERIES), ("stack", lambda x: torch.stack([x, x + 1], 1), ROWS),
    ("pad", lambda x: functional.pad(x, (1, 2, 0, 1), value=0.5), IMAGE),
    ("pad by reflection", lambda x: functional.pad(x, (1, 2, 0, 1), mode="reflect"), IMAGE),
    ("select", lambda x: x[:, -1], IMAGE), ("listed indices", lambda x: x[:, [0, 2]], IMAGE), ("strided slices", lambda x: x[:, 1:3, ::2], IMAGE),
    ("unbind", lambda x: x.unbind(1)[1], IMAGE), ("split in listed parts", lambda x: x.split([1, 3], 1)[1], IMAGE),
    ("uneven chunks", lambda x: x.chunk(3, -1)[2], SERIES),
    ("largest", lambda x: x.amax((2, 3)), IMAGE), ("largest of one axis", lambda x: x.max(1).values, ROWS),
    ("smallest", lambda x: x.amin(-1, keepdim=True), IMAGE),
    ("where it is", lambda x: x.min(1).indices.to(torch.float32), ROWS),
    ("deviation", lambda x: x.std((2, 3)), IMAGE), ("variance of all", lambda x: x.var(1, correction=0), ROWS), ("normalize", functional.normalize, IMAGE),
    ("transposed convolution", nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1), IMAGE),
    ("convolution of a series", nn.Conv1d(4, 5, 3, padding=1), SERIES), ("convolution, same size", nn.Conv2d(4, 4, 3, padding="same"), IMAGE),
    ("series, same size", nn.Conv1d(4, 6, 4, padding="same", dilation=2, groups=2), SERIES),
    ("series, strided", nn.Conv1d(4, 6, 3, stride=2, padding=2, bias=False), SERIES),
    ("max pool of a series", nn.MaxPool1d(3, 2, 1, ceil_mode=True), SERIES), ("max pool of a series, dilated", nn.MaxPool1d(3, 1, dilation=2), SERIES),
    ("average pool of a series", nn.AvgPool1d(3, 2, 1), SERIES), ("average pool of a series, padding left out", nn.AvgPool1d(3, 2, 1, True, False), SERIES),
    ("mean of a series", nn.AdaptiveAvgPool1d(1), SERIES), ("a series to a divisor", nn.AdaptiveAvgPool1d(5), SERIES),
    ("a series to anything", nn.AdaptiveAvgPool1d(3), SERIES), ("a series without a batch", nn.Conv1d(2, 3, 3), ROWS),
    ("max pool, rounded up", lambda x: functional.max_pool2d(x, 3, 2, 1, ceil_mode=True), IMAGE),
    ("max pool, rounded up, no window outside", lambda x: functional.max_pool2d(x, 2, 3, 1, ceil_mode=True), IMAGE),
    ("average pool", lambda x: functional.avg_pool2d(x, 3, 2, 1), IMAGE),
    ("average pool without padding", lambda x: functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False), IMAGE),
    ("adaptive to a divisor", lambda x: functional.adaptive_avg_pool2d(x, (2, 3)), IMAGE),
    ("adaptive to anything", lambda x: functional.adaptive_avg_pool2d(x, (3, 4)), IMAGE),
    ("LSTM, two layers in both directions", Recurrent(nn.LSTM(10, 3, 2, bidirectional=True, batch_first=True)), SERIES),
    ("LSTM with a projection", Recurrent(nn.LSTM(10, 4, proj_size=2)), SERIES), ("GRU, two layers", Recurrent(nn.GRU(10, 3, 2)), SERIES),
    ("RNN of ReLU", Recurrent(nn.RNN(10, 3, nonlinearity="relu")), SERIES),
    ("a transformer's layer", nn.TransformerEncoderLayer(10, 2, 16, batch_first=True), SERIES),
]


class Wrapped(nn.Module):
    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


@pytest.mark.parametrize(("function", "shape"), [pytest.param(f, s, id=n) for n, f, s in CASES])
def test_operator(function: Callable[[Any], Any], shape: tuple[int, ...]) -> None:
    print("seed", SEED)
    torch.manual_seed(SEED)
    model, x = Wrapped(function), torch.randn(shape)
    source = load(export(model, x))
    program = to_program(source.module, "float")
    found = run_program(program, {program.inputs[0]: x.numpy()})[program.outputs[0]]
    np.testing.assert_allclose(found, model(x).detach().numpy(), atol=2e-5)


def test_convolutions_of_series_are_contractions() -> None:
    """As which they have integer forms and kernels."""
    model = nn.Sequential(nn.Conv1d(4, 8, 3, padding=1), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 8, 3, groups=8))
    program = to_program(load(export(model.eval(), torch.randn(SERIES))).module, "float")
    assert [layer.operator.kind for layer in program.layers if layer.operator.macs] == ["conv2d", "depthwise_conv2d"]
