"""PyTorch models of the tests. Imported where torch is installed."""

from __future__ import annotations

from typing import Any

import torch
import torch.ao.quantization.fx._decomposed  # noqa: F401  (registers quantized_decomposed)
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

QUANTIZED = torch.ops.quantized_decomposed


class Fake(nn.Module):
    """Quantizes and dequantizes as PT2E writes it."""

    def __init__(self, scale: float, zero_point: int, dtype: torch.dtype = torch.uint8) -> None:
        super().__init__()
        low, high = (0, 255) if dtype == torch.uint8 else (-128, 127)
        self.arguments = (scale, zero_point, low, high, dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return QUANTIZED.dequantize_per_tensor(QUANTIZED.quantize_per_tensor(x, *self.arguments), *self.arguments)


class Weight(nn.Module):
    """An int8 weight behind a dequantize per channel, as convert_pt2e leaves it."""

    def __init__(self, real: torch.Tensor) -> None:
        super().__init__()
        scale = real.detach().flatten(1).abs().amax(1) / 127
        zero = torch.zeros(len(scale), dtype=torch.int64)
        self.register_buffer("scale", scale)
        self.register_buffer("zero", zero)
        self.register_buffer("integers", QUANTIZED.quantize_per_channel(real.detach(), scale, zero, 0, -127, 127, torch.int8))

    def forward(self) -> torch.Tensor:
        return QUANTIZED.dequantize_per_channel(self.integers, self.scale, self.zero, 0, -127, 127, torch.int8)


class FakeAtRunTime(nn.Module):
    """Quantizes by the range of what comes, and dequantizes, as PT2E's dynamic quantization writes it."""

    def __init__(self, dtype: torch.dtype = torch.int8) -> None:
        super().__init__()
        self.range, self.dtype = (0, 255) if dtype == torch.uint8 else (-128, 127), dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale, zero = QUANTIZED.choose_qparams.tensor(x, *self.range, 1e-7, self.dtype)
        arguments = (scale, zero, *self.range, self.dtype)
        return QUANTIZED.dequantize_per_tensor.tensor(QUANTIZED.quantize_per_tensor.tensor(x, *arguments), *arguments)


class DynamicNet(nn.Module):
    """Convolutions, ordinary with a border and depthwise, and linear layers of tokens, all by scales of the run."""

    def __init__(self, dtype: torch.dtype = torch.int8) -> None:
        super().__init__()
        self.fake = FakeAtRunTime(dtype)
        self.first, self.depthwise, self.linear = Weight(torch.randn(8, 3, 3, 3) / 6), Weight(torch.randn(8, 1, 3, 3) / 4), Weight(torch.randn(12, 8) / 3)
        self.bias = nn.Parameter(torch.randn(12) / 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = functional.relu(functional.conv2d(self.fake(x), self.first(), None, padding=1, stride=2))
        b = functional.conv2d(self.fake(a), self.depthwise(), None, padding=(1, 0), groups=8)
        return functional.linear(self.fake(b.flatten(2).transpose(1, 2)), self.linear(), self.bias)


class QuantizedNet(nn.Module):
    """Convolution, ReLU, depthwise convolution, residual addition, pooling, linear: each between quantized tensors of `dtype`."""

    def __init__(self, dtype: torch.dtype = torch.uint8) -> None:
        super().__init__()
        low = 0 if dtype == torch.uint8 else -128
        self.x, self.a, self.b = Fake(0.03, low + 133, dtype), Fake(0.012, low, dtype), Fake(0.01, low + 120, dtype)
        self.c, self.m, self.y = Fake(0.015, low + 90, dtype), Fake(0.01, low + 100, dtype), Fake(0.01, low + 128, dtype)
        self.first, self.depthwise = Weight(torch.randn(8, 3, 3, 3) / 6), Weight(torch.randn(8, 1, 3, 3) / 4)
        self.last = Weight(torch.randn(10, 8) / 3)
        self.bias = nn.Parameter(torch.randn(8) / 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.a(functional.relu(functional.conv2d(self.x(x), self.first(), self.bias, padding=1)))
        b = self.b(functional.conv2d(a, self.depthwise(), None, stride=1, padding=1, groups=8))
        c = self.c(a + b)
        m = self.m(functional.avg_pool2d(functional.max_pool2d(c, 2), 4).flatten(1))
        return self.y(functional.linear(m, self.last()))


class PrunedNet(nn.Module):
    """Masks of torch.nn.utils.prune under PT2E's quantization: the masked weights are what is quantized, whenever the program runs."""

    def __init__(self, dtype: torch.dtype = torch.uint8) -> None:
        super().__init__()
        low = 0 if dtype == torch.uint8 else -128
        self.x, self.a, self.m, self.y = Fake(0.03, low + 133, dtype), Fake(0.012, low, dtype), Fake(0.01, low, dtype), Fake(0.01, low + 128, dtype)
        self.conv, self.linear = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 10)
        prune.l1_unstructured(self.conv, "weight", 0.6)
        prune.ln_structured(self.linear, "weight", 0.25, n=1, dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.a(functional.relu(functional.conv2d(self.x(x), on_grid(self.conv.weight, 0.003), self.conv.bias, padding=1)))
        m = self.m(functional.adaptive_avg_pool2d(a, 1).flatten(1))
        return self.y(functional.linear(m, on_grid(self.linear.weight, 0.003), self.linear.bias))


def on_grid(weight: torch.Tensor, scale: float) -> torch.Tensor:
    """int8 weights per tensor, made when the program runs."""
    arguments = (scale, 0, -127, 127, torch.int8)
    return QUANTIZED.dequantize_per_tensor(QUANTIZED.quantize_per_tensor(weight, *arguments), *arguments)


class BatchNormNet(nn.Module):
    """Convolution, batch norm, ReLU; depthwise separable; a residual sum; pooling; linear. In float."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.depthwise, self.pointwise = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 1)
        self.norms, self.last = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(2)), nn.Linear(8, 10)
        for norm in self.norms:
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = functional.relu(self.norms[0](self.first(x)))
        y = functional.relu(a + self.pointwise(functional.relu(self.norms[1](self.depthwise(a)))))
        return self.last(functional.adaptive_avg_pool2d(y, 1).flatten(1))


def pt2e(model: nn.Module, *inputs: torch.Tensor) -> Any:
    """`model` quantized by torchao's PT2E as users do it: prepared, calibrated on noise, converted, exported."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import arm_inductor_quantizer

    quantizer = arm_inductor_quantizer.ArmInductorQuantizer()
    quantizer.set_global(arm_inductor_quantizer.get_default_arm_inductor_quantization_config())
    prepared = prepare_pt2e(export(model, *inputs).module(), quantizer)
    for _ in range(8):
        prepared(*(torch.randn_like(x) for x in inputs))
    return torch.export.export(convert_pt2e(prepared), inputs)


class FloatNet(nn.Module):
    """Batch norm, many activations, concatenation, global pooling, two named outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(16, 10))

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        a = functional.hardswish(self.norm(self.first(image)))
        b = torch.cat([functional.silu(self.second(a)), functional.relu6(a)], 1)
        features = functional.adaptive_avg_pool2d(b, 1).flatten(1)
        return {"scores": functional.softmax(self.head(features), -1), "features": features}


class Attention(nn.Module):
    """A block of a transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (t.reshape(t.shape[0], -1, 2, 8).transpose(1, 2) for t in self.qkv(self.norm(x)).chunk(3, -1))
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return x + functional.gelu(self.out(mixed.transpose(1, 2).reshape(x.shape)))


def export(model: nn.Module, *inputs: torch.Tensor, **options: Any) -> Any:
    """What users call."""
    return torch.export.export(model.eval(), inputs, **options)
