"""Running packages: natively, or under qemu-user where the CPU is foreign."""

from nnc_tvm.run.benchmark import bench_package
from nnc_tvm.run.execute import run_package
from nnc_tvm.verbs import make_verb

__all__ = ["bench_package", "run_package"]

make_verb(__name__)
