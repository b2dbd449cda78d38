"""torch.export programs through the whole compiler, against PyTorch."""

from __future__ import annotations

import contextlib
import io
import pathlib
import zipfile
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from nnc_tvm.errors import InvalidInput, InvalidModel, Unsupported  # noqa: E402
from nnc_tvm.frontend import load  # noqa: E402
from nnc_tvm.reference import run_program  # noqa: E402
from nnc_tvm.relay_passes.pipeline import to_program  # noqa: E402
from nnc_tvm.schedules.operators import Primitive  # noqa: E402
from tests.frontend.torch_models import Attention, DynamicNet, FloatNet, QuantizedNet, export  # noqa: E402

SEED = 29


@pytest.fixture(autouse=True)
def seeded() -> None:
    print("seed", SEED)
    torch.manual_seed(SEED)


def computed(model: Any, *inputs: Any, batch: int | None = None) -> dict[str, np.ndarray]:
    """The outputs by name, by the reference on the integer graph."""
    source = load(model, batch)
    program = to_program(source.module, source.default_requantize)
    values = run_program(program, {name: x.numpy() for name, x in zip(program.inputs, inputs, strict=True)})
    return {tensor.name: values[name] for tensor, name in zip(source.outputs, program.outputs, strict=True)}


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8])
def test_dynamic_quantization(dtype: Any) -> None:
    """All on integers; rounded as PyTorch rounds, but where its product by the reciprocal of a scale falls on the other side of a half."""
    model, x = DynamicNet(dtype), torch.randn(2, 3, 9, 8)
    program = export(model, x)
    source = load(program)
    integers = [layer.operator for layer in to_program(source.module, "float").layers if layer.operator.macs]
    assert len(integers) == 3 and all(o.inputs[0].dtype == "int8" for o in integers)
    wanted = model(x).detach().numpy()
    assert np.abs(computed(program, x)["output"] - wanted).max() < 0.01 * np.abs(wanted).max()


def test_a_dynamic_range_in_part_is_refused() -> None:
    model = DynamicNet(torch.uint8)
    model.fake.range = (0, 127)
    with pytest.raises(Unsupported, match="a range of 0..127 of uint8, chosen at run time; quantize to all of int8 or uint8"):
        load(export(model, torch.randn(1, 3, 9, 8)))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8])
def test_pt2e_stays_integer(dtype: Any) -> None:
    """Within one step of eager PyTorch, with nothing but quantize and dequantize in float."""
    model, x = QuantizedNet(dtype), torch.randn(1, 3, 8, 8)
    program = export(model, x)
    found = computed(program, x)["output"]
    assert np.abs(found - model(x).detach().numpy()).max() <= 0.0101
    layers = to_program(load(program).module, "float").layers
    assert not [layer.name for layer in layers if isinstance(layer.operator, Primitive)]
    assert [layer.name for layer in layers if layer.operator.macs] == ["relu", "conv2d_1", "linear"]


def test_float_models_and_names_of_outputs() -> None:
    model, x = FloatNet(), torch.randn(1, 3, 16, 16)
    found = computed(export(model, x), x)
    assert list(found) == ["scores", "features"]
    for name, wanted in model(x).items():
        np.testing.assert_allclose(found[name], wanted.detach().numpy(), atol=1e-5)


def test_batch_norm_is_folded_where_it_can_be() -> None:
    """After a convolution it is in the weights; before one it is a factor and a shift."""
    class Norms(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.conv, self.after = torch.nn.BatchNorm2d(3), torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)
            for norm in (self.before, self.after):
                norm.running_mean.normal_()
                norm.running_var.uniform_(0.5, 2)

        def forward(self, x: Any) -> Any:
            return self.after(self.conv(self.before(x)))

    model, x = Norms(), torch.randn(1, 3, 6, 6)
    program = export(model, x)
    np.testing.assert_allclose(computed(program, x)["output"], model(x).detach().numpy(), atol=1e-5)
    kinds = [layer.operator.kind for layer in to_program(load(program).module, "float").layers]
    assert kinds[-2:] == ["conv2d", "transpose"] and kinds.count("conv2d") == 1


def test_attention() -> None:
    model, x = Attention(), torch.randn(1, 6, 16)
    np.testing.assert_allclose(computed(export(model, x), x)["output"], model(x).detach().numpy(), atol=1e-5)


def test_pruned_weights_are_constants() -> None:
    """Masks of torch.nn.utils.prune and parametrizations leave nothing behind but the weights."""
    from torch.nn.utils import prune
    from torch.nn.utils.parametrizations import weight_norm

    model, x = torch.nn.Sequential(torch.nn.Linear(12, 8), torch.nn.ReLU(), weight_norm(torch.nn.Linear(8, 4))), torch.randn(1, 12)
    prune.l1_unstructured(model[0], "weight", 0.5)
    program = export(model, x)
    np.testing.assert_allclose(computed(program, x)["output"], model(x).detach().numpy(), atol=1e-5)
    layers = to_program(load(program).module, "float").layers
    assert [layer.operator.kind for layer in layers] == ["dense", "dense"]
    assert (layers[0].operator.weight == 0).mean() == 0.5


def test_files_and_programs_are_the_same(tmp_path: pathlib.Path) -> None:
    model, x = QuantizedNet(), torch.randn(1, 3, 8, 8)
    program = export(model, x)
    torch.export.save(program, tmp_path / "net.pt2")
    source, file = load(program), load(tmp_path / "net.pt2")
    assert (source.format, source.name, file.name) == ("torch", "model", "net") and source.inputs == file.inputs and source.outputs == file.outputs
    assert source.sha256 == load(program).sha256 != load(export(QuantizedNet(), x)).sha256
    np.testing.assert_array_equal(computed(program, x)["output"], computed(tmp_path / "net.pt2", x)["output"])


@pytest.mark.parametrize("batch", [None, 3])
def test_a_dynamic_batch(batch: int | None) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(64, 5))
    program = export(model, torch.randn(2, 3, 6, 6), dynamic_shapes=({0: torch.export.Dim("n")},))
    x = torch.randn(batch or 1, 3, 6, 6)
    np.testing.assert_allclose(computed(program, x, batch=batch)["output"], model(x).detach().numpy(), atol=1e-5)


class Named(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return x + 1, [x * 2, {"deep": x - 1}]


def test_nested_outputs() -> None:
    x = torch.randn(1, 4)
    assert list(computed(export(Named(), x), x)) == ["output_0", "output_1_0", "output_1_1_deep"]


class Counter(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return x + self.calls


class Sorted(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return torch.linalg.eigvals(x).real


def test_what_cannot_be_compiled_is_named(tmp_path: pathlib.Path) -> None:
    x = torch.randn(1, 3, 8, 8)
    with pytest.raises(Unsupported, match=r"changes its state \(calls\)"):
        load(export(Counter(), x))
    with pytest.raises(Unsupported, match=r"linalg_eig"):
        load(export(Sorted(), torch.randn(4, 4)))
    with pytest.raises(Unsupported, match="input 'input' has dtype float64"):
        load(export(torch.nn.ReLU().double(), torch.randn(1, 3, dtype=torch.float64)))
    with pytest.raises(InvalidInput, match="a QuantizedNet is not a model"):
        load(QuantizedNet())
    torch.export.save(export(torch.nn.ReLU(), x), tmp_path / "net.pt2")
    data = (tmp_path / "net.pt2").read_bytes()
    (tmp_path / "net.pt2").write_bytes(data.replace(b"relu", b"wibb"))
    with pytest.raises(InvalidModel, match="net.pt2") as error:
        load(tmp_path / "net.pt2")
    assert "\n" not in str(error.value)


class Half(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return x.half()


def test_dtypes_and_numbers_that_cannot_be_compiled() -> None:
    with pytest.raises(Unsupported, match="dtype float16"):
        load(export(Half(), torch.randn(1, 3)))
    model = torch.nn.Linear(3, 4)
    model.weight.data[1, 2] = torch.nan
    with pytest.raises(InvalidModel, match=r"'\w+' \(relax.\w+\) reads a constant that holds NaN"):
        load(export(model, torch.randn(1, 3)))


@pytest.mark.parametrize(("keep", "says"), [(0, r"the tensor 'weight' \[4, 3, 3, 3\] needs 432 bytes, the file has 0"), (100, "cannot read it")])
def test_weights_that_are_cut_off(keep: int, says: str, tmp_path: pathlib.Path) -> None:
    torch.export.save(export(torch.nn.Conv2d(3, 4, 3), torch.randn(1, 3, 8, 8)), tmp_path / "whole.pt2")
    with zipfile.ZipFile(tmp_path / "whole.pt2") as archive, zipfile.ZipFile(tmp_path / "cut.pt2", "w") as cut:
        for item in archive.namelist():
            cut.writestr(item, archive.read(item)[:keep] if item.endswith("weight_0") else archive.read(item))
    with pytest.raises(InvalidModel, match=f"cut.pt2: .*{says}"):
        load(tmp_path / "cut.pt2")


class Payload:
    """What a hostile file pickles."""

    def __init__(self, file: pathlib.Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return pathlib.Path.touch, (self.file,)


def test_files_cannot_run_code(tmp_path: pathlib.Path) -> None:
    torch.export.save(export(torch.nn.ReLU(), torch.randn(1, 3)), tmp_path / "net.pt2")
    pickled = io.BytesIO()
    torch.save(Payload(tmp_path / "touched"), pickled)
    with zipfile.ZipFile(tmp_path / "net.pt2") as archive, zipfile.ZipFile(tmp_path / "hostile.pt2", "w") as hostile:
        for item in archive.namelist():
            hostile.writestr(item, pickled.getvalue() if "sample_inputs" in item else archive.read(item))
    with contextlib.suppress(InvalidModel):
        load(tmp_path / "hostile.pt2")
    assert not (tmp_path / "touched").exists()
    torch.load(io.BytesIO(pickled.getvalue()), weights_only=False)  # the payload works
    assert (tmp_path / "touched").exists()
