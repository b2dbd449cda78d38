"""What a schedule rule is.

A rule turns one operator into stages, or says `None`: not mine. It builds the compute definition in the layout its instruction
wants, packs the constants in the order the loops read them, and schedules it. Every decision goes through `choose`, so that the
default schedule, the search space of tuning and the replay of a log are one piece of code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from nnc_tvm.schedules.operators.operator import Operator, TensorType

if TYPE_CHECKING:
    import tvm

    from nnc_tvm.schedules.candidates import Selection

T = TypeVar("T")


class Choose(Protocol):
    """choose(name, candidates, default): the default when compiling without a log, a sample when tuning, the log's value on replay."""

    def __call__(self, name: str, candidates: Sequence[T], default: T) -> T: ...


def choose_default(name: str, candidates: Sequence[T], default: T) -> T:
    """The decision of a compile without a log."""
    del name, candidates
    return default


@dataclass(frozen=True, eq=False)
class Stage:
    """One kernel of an operator.

    function: a scheduled PrimFunc with buffer parameters inputs..., constants..., scratch..., output (no symbolic shapes).
    inputs: what each input parameter is: k >= 0 is the operator's k-th input, k < 0 the output of stage -1 - k.
    constants: packed arrays in the order of their parameters.
    output: type of what the stage writes; the last stage's has the operator's output's bytes.
    may_overwrite: input positions whose memory the output may reuse: element i is written after the last read of element i.
    kernel: name for people, such as "avx2_pmaddwd 6x16".
    scratch: buffers that the kernel writes and reads back; they hold nothing before and after.
    may_fail: the last scratch buffer is an int32 that is not 0 where the output could not be computed.
    parts: into which the function is divided, see schedules/parallel.py; each has scratch of its own.
    """

    function: tvm.tirx.PrimFunc
    inputs: tuple[int, ...]
    constants: tuple[np.ndarray, ...]
    output: TensorType
    kernel: str
    may_overwrite: tuple[int, ...] = ()
    scratch: tuple[TensorType, ...] = ()
    may_fail: bool = False
    parts: int = 1


Rule = Callable[[Operator, Any, Choose], "tuple[Stage, ...] | Selection | None"]
"""rule(operator, target, choose) -> stages, a Selection of one of several forms, or None where the rule does not apply. `target` is a targets.base.Target."""
