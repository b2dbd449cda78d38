"""What LLVM knows about a CPU name."""

from __future__ import annotations

import pathlib
import platform

from nnc_tvm.errors import InvalidInput


def cpu_features(triple: str, mcpu: str) -> frozenset[str]:
    """LLVM's feature names of `mcpu` ("avx2", "dotprod", "i8mm", ...). Raises InvalidInput for a name LLVM does not know."""
    import tvm

    probe = tvm.target.Target({"kind": "llvm", "mtriple": triple})
    known = [str(name) for name in tvm.get_global_func("target.llvm_get_cpu_archlist")(probe)]
    if mcpu not in known:
        import difflib

        near = difflib.get_close_matches(mcpu, known, 3)
        hint = f"did you mean {', '.join(near)}?" if near else "use one of LLVM's names, such as " + known[0]
        raise InvalidInput(f"--mcpu {mcpu}: LLVM has no such CPU for {triple}; {hint}")
    target = tvm.target.Target({"kind": "llvm", "mtriple": triple, "mcpu": mcpu})
    return frozenset(str(name) for name in tvm.get_global_func("target.llvm_get_cpu_features")(target))


def native_cpu(triple: str) -> tuple[str, frozenset[str]]:
    """LLVM's name of the CPU that runs this, and the vector features of that name that the machine does not offer (a hypervisor may hide some).

    Raises InvalidInput where the machine is of another architecture than `triple`.
    """
    import tvm

    architecture = triple.split("-")[0]
    if platform.machine() != architecture:
        raise InvalidInput(f"--mcpu native: this machine is {platform.machine()}, not {architecture}; name the CPU")
    name = str(tvm.get_global_func("target.llvm_get_system_cpu")())
    vectors = {feature for feature in cpu_features(triple, name) if feature.startswith(("avx", "fma"))}
    offered = {flag.replace("_", "") for flag in pathlib.Path("/proc/cpuinfo").read_text().split()}
    return name, frozenset(vectors - offered)
