"""PrimFuncs of float operators, split into stages, against TVM's own compilation of the whole function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import relax, te, tirx
from tvm.relax import op

from nnc_tvm.schedules.operators import Primitive, TensorType
from nnc_tvm.schedules.rule import choose_default
from nnc_tvm.schedules.rules import primitive
from tests.kernels.cases import CPU_NAMES, CPUS, random_generator, target_of
from tests.kernels.harness import Job, run_jobs

CASES: dict[str, Callable[..., Any]] = {
    "exp": op.exp,
    "gelu": op.nn.gelu,
    "layer_norm": lambda x: op.nn.layer_norm(x, op.mean(x, axis=[0, 1]), op.max(x, axis=[0, 1]), axes=[-1]),
    "softmax": op.nn.softmax,
    "softmax of a middle axis": lambda x: op.nn.softmax(x, axis=1),
    "log_softmax": op.nn.log_softmax,
    "argmax": lambda x: op.argmax(x, axis=-1),
    "mean": lambda x: op.mean(x, axis=1),
    "variance": lambda x: op.variance(x, axis=[0, 2]),
    "max of all": op.max,
    "greater": lambda x: op.greater(x, op.mean(x, axis=1, keepdims=True)),
}


def functions_of(build: Callable[..., Any], shape: tuple[int, ...]) -> list[tirx.PrimFunc]:
    builder, x = relax.BlockBuilder(), relax.Var("x", relax.TensorType(shape, "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            result = builder.emit_output(builder.emit(build(x)))
        builder.emit_func_output(result)
    return [f for f in relax.transform.LegalizeOps()(builder.get()).functions.values() if isinstance(f, tirx.PrimFunc)]


def run_by_tvm(function: tirx.PrimFunc, inputs: list[np.ndarray], output: TensorType) -> np.ndarray:
    result = tvm.runtime.tensor(np.zeros(output.shape, output.dtype))
    tvm.compile(function.with_attr("global_symbol", "main"), target="llvm")(*[tvm.runtime.tensor(x) for x in inputs], result)
    return result.numpy()


@pytest.mark.parametrize("cpu", CPUS[:2], ids=CPU_NAMES[:2])
def test_primitives(cpu: tuple[str, str | None]) -> None:
    rng, target = random_generator(), target_of(cpu)
    jobs, expected = [], []
    for name, build in CASES.items():
        for function in functions_of(build, (2, 16, 67)):
            kinds = [TensorType(tuple(int(e) for e in p.shape), str(p.dtype)) for p in function.params]
            operator = Primitive(tuple(kinds[:-1]), kinds[-1], function, name)
            inputs = [rng.standard_normal(kind.shape).astype(kind.dtype) for kind in operator.inputs]
            stages = primitive.stages(operator, target, choose_default)
            assert stages
            jobs.append(Job(operator, stages, inputs))
            expected.append(run_by_tvm(function, inputs, operator.output))
    for job, got, want in zip(jobs, run_jobs(jobs, target), expected, strict=True):
        assert np.allclose(got, want, rtol=1e-4, atol=1e-5), job.operator


def test_element_wise_chains_are_one_kernel() -> None:
    (function,) = functions_of(op.nn.gelu, (2, 16, 67))
    kind = TensorType((2, 16, 67), "float32")
    assert len(primitive.stages(Primitive((kind,), kind, function, "gelu"), target_of(CPUS[0]), choose_default) or ()) == 1


@pytest.mark.parametrize("cpu", CPUS[:2], ids=CPU_NAMES[:2])
def test_elements_at_places(cpu: tuple[str, str | None]) -> None:
    """Elements at places that are themselves read along the last axis, as GatherElements does, are read one by one."""
    rng, target = random_generator(), target_of(cpu)
    jobs, expected = [], []
    for axis in (0, 1):
        shape = [tirx.const(n, "int64") for n in (9, 3)]
        x, places = te.placeholder(shape, "float32", "x"), te.placeholder(shape, "int64", "places")
        elements = te.compute(shape, [lambda i, j: x[places[i, j], j], lambda i, j: x[i, places[i, j]]][axis], "y")  # noqa: B023
        function = te.create_prim_func([x, places, elements])
        kinds = TensorType((9, 3), "float32"), TensorType((9, 3), "int64")
        operator = Primitive(kinds, kinds[0], function, "places")
        stages = primitive.stages(operator, target, choose_default)
        assert stages
        inputs = [rng.standard_normal((9, 3)).astype(np.float32), rng.integers(0, (9, 3)[axis], (9, 3))]
        jobs.append(Job(operator, stages, inputs))
        expected.append(np.take_along_axis(*inputs, axis))
    for found, wanted in zip(run_jobs(jobs, target), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
