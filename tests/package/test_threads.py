"""Packages that several threads run together: the outputs of one thread, every time, under the sanitizers, with more threads than there is to share."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

import numpy as np
import onnx
import pytest

from nnc_tvm.compiler import compile_model
from nnc_tvm.errors import InvalidInput
from nnc_tvm.package.manifest import Manifest
from nnc_tvm.package.toolchain import STRICT, thread_flags
from nnc_tvm.relay_passes import split_kernels
from nnc_tvm.run import bench_package, run_package
from nnc_tvm.run.record import layer_values
from nnc_tvm.targets.base import Emit
from nnc_tvm.targets.registry import get_target
from tests.frontend.onnx_builder import model_of, save

HERE = pathlib.Path(__file__).parent
DIGITS = HERE.parents[1] / "examples" / "digits" / "digits_int8.onnx"
SEED = 19


@pytest.fixture(autouse=True)
def everything_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_kernels, "WORTH", 0)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Convolutions, sums, pools, a concatenation, a product and a softmax, of odd sizes."""
    rng = np.random.default_rng(SEED)
    node = onnx.helper.make_node
    nodes = [node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]), node("Relu", ["a"], ["b"]), node("Conv", ["b", "v"], ["c"], pads=[1, 1, 1, 1], group=12),
             node("Add", ["b", "c"], ["d"]), node("Concat", ["d", "x"], ["e"], axis=1), node("MaxPool", ["e"], ["f"], kernel_shape=[3, 3], strides=[2, 2]),
             node("GlobalAveragePool", ["f"], ["g"]), node("Flatten", ["g"], ["h"]), node("Gemm", ["h", "u"], ["i"]), node("Softmax", ["i"], ["y"])]
    shapes = {"w": (12, 5, 3, 3), "v": (12, 1, 3, 3), "u": (17, 7)}
    constants = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return save(tmp_path_factory.mktemp("net"), model_of(nodes, {"x": (1, 5, 13, 11)}, ["y"], constants), "net.onnx")


def make(model: pathlib.Path, folder: pathlib.Path, threads: int, emit: Emit = "obj", kind: str = "x86_cpu") -> Manifest:
    return compile_model(model, get_target(kind, emit=emit, threads=threads), folder, "net")


@pytest.mark.parametrize("threads", [2, 3, 64])
def test_outputs_of_one_thread_every_time(network: pathlib.Path, tmp_path: pathlib.Path, threads: int) -> None:
    x = np.random.default_rng(SEED).standard_normal((30, 5, 13, 11)).astype(np.float32)
    images = np.random.default_rng(SEED).integers(0, 17, (30, 1, 8, 8)).astype(np.float32)
    for model, inputs in ((network, {"x": x}), (DIGITS, {"image": images})):
        make(model, tmp_path / "one", 1)
        manifest = make(model, tmp_path / "more", threads)
        assert manifest.threads == threads and any(kernel.parts == threads for layer in manifest.layers for kernel in layer.kernels)
        wanted = run_package(tmp_path / "one", inputs)
        for _ in range(2):
            found = run_package(tmp_path / "more", inputs)
            assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    ones, mores = layer_values(tmp_path / "one", {"image": images[:3]}), layer_values(tmp_path / "more", {"image": images[:3]})
    for one, more in zip(ones, mores, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, more, strict=True) if a is not None and b is not None)


@pytest.fixture(scope="module")
def low_rank(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Pairs of 1x1 convolutions of odd sizes: chains, whose threads have scratch of their own."""
    rng = np.random.default_rng(SEED)
    nodes = [onnx.helper.make_node("Conv", [a, w], [b]) for a, w, b in (("x", "s", "a"), ("a", "t", "b"), ("r", "u", "c"), ("c", "v", "y"))]
    nodes.insert(2, onnx.helper.make_node("Relu", ["b"], ["r"]))
    shapes = {"s": (12, 40, 1, 1), "t": (50, 12, 1, 1), "u": (11, 50, 1, 1), "v": (40, 11, 1, 1)}
    constants = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return save(tmp_path_factory.mktemp("net"), model_of(nodes, {"x": (1, 40, 36, 21)}, ["y"], constants), "net.onnx")


@pytest.mark.parametrize("model", ["network", "low_rank"])
@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined"])
@pytest.mark.parametrize("emit", ["c", "obj"])
def test_clean_under_the_sanitizers(request: pytest.FixtureRequest, tmp_path: pathlib.Path, model: str, sanitizer: str, emit: Emit) -> None:
    """Kernels of C source are instrumented, too: no part writes what another reads or writes."""
    manifest = make(request.getfixturevalue(model), tmp_path / "net", 3, emit)
    assert model == "network" or any(layer.op == "chain" and layer.kernels[0].parts == 3 for layer in manifest.layers)
    files = [tmp_path / "net" / file for file in (*manifest.sources, *manifest.libraries)]
    flags = [*STRICT, *thread_flags(3), "-g", "-O1", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
    subprocess.run(["gcc", *flags, f"-I{tmp_path}/net/include", HERE / "threads_caller.c", *files, "-lm", "-o", tmp_path / "caller"], check=True)
    done = subprocess.run(["setarch", "-R", tmp_path / "caller"], capture_output=True, text=True)  # the sanitizer wants addresses where it knows them
    assert done.returncode == 0, f"line {done.returncode}: {done.stderr[-2000:]}"


def test_fewer_threads_than_wanted(network: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """A system that has no more threads: those that there are do everything."""
    manifest = make(network, tmp_path / "net", 4)
    files = [tmp_path / "net" / file for file in (*manifest.sources, *manifest.libraries)]
    (tmp_path / "main.c").write_text('''#include <pthread.h>
#include <string.h>
#include "net.h"
int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __wrap_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
static int left;
int __wrap_pthread_create(pthread_t *a, const pthread_attr_t *b, void *(*c)(void *), void *d) { return left-- > 0 ? __real_pthread_create(a, b, c, d) : 11; }
static float x[NET_INPUT_X_ELEMENTS], y[5][NET_OUTPUT_Y_ELEMENTS];
static _Alignas(NET_ARENA_ALIGNMENT) unsigned char arena[NET_ARENA_BYTES];
int main(void)
{
    const net_inputs in = {x};
    int k;
    for (k = 0; k < NET_INPUT_X_ELEMENTS; k++) x[k] = (float)(k % 7);
    for (k = 0; k < 5; k++) {
        const net_outputs out = {y[k]};
        left = k;
        if (net_run(&in, &out, arena, sizeof arena) != NET_OK || memcmp(y[0], y[k], sizeof y[0]) != 0) return 1 + k;
    }
    return 0;
}
''')
    flags = [*STRICT, *thread_flags(4), "-Wl,--wrap=pthread_create", f"-I{tmp_path}/net/include"]
    subprocess.run(["gcc", *flags, tmp_path / "main.c", *files, "-lm", "-o", tmp_path / "main"], check=True)
    assert subprocess.run([tmp_path / "main"]).returncode == 0


def test_make_cmake_and_cxx(network: pathlib.Path, tmp_path: pathlib.Path) -> None:
    make(network, tmp_path / "net", 2)
    done = subprocess.run(["make", "-C", tmp_path / "net", "run"], capture_output=True, text=True)
    assert done.returncode == 0 and "the largest of 7" in done.stdout and "warning" not in done.stderr and "-pthread" in done.stdout, done.stderr
    (tmp_path / "a.cpp").write_text('#include "net.h"\nint main() { net_threads t; return net_threads_start(&t, NET_THREADS); }\n')
    if shutil.which("g++"):
        subprocess.run(["g++", "-Wall", "-Wextra", "-Werror", f"-I{tmp_path}/net/include", "-fsyntax-only", tmp_path / "a.cpp"], check=True)
    if shutil.which("cmake"):
        subprocess.run(["cmake", "-S", tmp_path / "net", "-B", tmp_path / "build"], check=True, capture_output=True)
        subprocess.run(["cmake", "--build", tmp_path / "build"], check=True, capture_output=True)
        assert b"the largest of 7" in subprocess.run([tmp_path / "build/net_example"], check=True, capture_output=True).stdout


def test_one_thread_is_what_there_was(tmp_path: pathlib.Path) -> None:
    """No file differs from those of a package that was made without the option."""
    make(DIGITS, tmp_path / "one", 1)
    compile_model(DIGITS, get_target("x86_cpu"), tmp_path / "none", "net")
    files = [file.relative_to(tmp_path / "none") for file in (tmp_path / "none").rglob("*") if file.is_file()]
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "none" / file).read_bytes() for file in files)
    assert not any("thread" in (tmp_path / "one" / file).read_text() for file in files if file.suffix in (".c", ".h"))


@pytest.mark.qemu
def test_under_an_emulator(network: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Instructions are those of all parts on one thread: the same number every time."""
    if shutil.which("aarch64-linux-gnu-gcc") is None or shutil.which("qemu-aarch64") is None:
        pytest.skip("needs aarch64-linux-gnu-gcc and qemu-aarch64")
    x = {"x": np.random.default_rng(SEED).standard_normal((3, 5, 13, 11)).astype(np.float32)}
    for threads in (1, 2):
        make(network, tmp_path / str(threads), threads, kind="arm_cpu")
    wanted, found = run_package(tmp_path / "1", x), run_package(tmp_path / "2", x)
    assert np.array_equal(found["y"], wanted["y"])
    one, two = bench_package(tmp_path / "1"), bench_package(tmp_path / "2", layers=True)
    assert two["threads"] == 2 and one["guest_instructions"] < two["guest_instructions"] < 1.5 * one["guest_instructions"]


def test_where_there_are_no_threads() -> None:
    with pytest.raises(InvalidInput, match="--threads 2: the NPU's driver"):
        get_target("npu", threads=2)
    with pytest.raises(InvalidInput, match="--threads 65: not a number from 1 to 64"):
        get_target("x86_cpu", threads=65)
