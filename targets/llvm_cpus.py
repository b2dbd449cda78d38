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


def native_cpu(triple: str, required: frozenset[str]) -> tuple[str, frozenset[str]] | None:
    """LLVM's name of the CPU that runs this, and the vector features of that name that the machine does not offer (a hypervisor may hide some).

    None where the machine is of another architecture than `triple` or lacks `required` features.
    """
    import tvm

    if platform.machine() != triple.split("-")[0]:
        return None
    name = str(tvm.get_global_func("target.llvm_get_system_cpu")())
    features = cpu_features(triple, name)
    offered = {flag.replace("_", "") for flag in pathlib.Path("/proc/cpuinfo").read_text().split()}
    lacking = frozenset(feature for feature in features if feature.startswith(("avx", "fma")) and feature not in offered)
    return (name, lacking) if features - lacking >= required else None
