"""The schedule rules of CPUs, in the order they are tried. Each is parameterised by the target's features."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nnc_tvm.schedules.rule import Rule


def cpu_rules() -> tuple[Rule, ...]:
    """Imported on demand: rules load TVM."""
    from nnc_tvm.schedules.rules import (
        chain,
        depthwise,
        division,
        dynamic,
        elementwise,
        matmul,
        movement,
        pool,
        primitive,
        rescaled,
        resize,
        softmax,
        table,
        weight_forms,
    )

    return (
        weight_forms.stages, chain.stages, matmul.stages, depthwise.stages, rescaled.stages, dynamic.stages, elementwise.stages, division.stages, table.stages,
        pool.max_pool, pool.average_pool, pool.mean, softmax.stages, movement.stages, resize.stages, primitive.stages,
    )
