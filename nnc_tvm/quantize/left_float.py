"""Sums that stay float because nothing takes them as integers: above all the residual stream of transformers.

Rounded to 8 bits such a sum loses what a layer normalization enlarges again, token by token, and saves nothing: what reads it computes in float.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nnc_tvm.relay_passes.graph import operands, operator_name

if TYPE_CHECKING:
    from nnc_tvm.quantize.plan import Plan

Expr = Any
SUMS = frozenset({"relax.add", "relax.subtract", "relax.multiply", "relax.concat"})
MEANS = frozenset({"relax.mean", "relax.nn.avg_pool2d"})


def left_float(plan: Plan, possible: set[Expr]) -> set[Expr]:
    """Those of the tensors `possible` as integers that are sums, products or concatenations and that no integer operator reads, directly or through
    others of them, data movement and chains of element-wise functions. Concatenations that are results count as read.

    Means take integers or floats at the same cost: they do not count where a sum that belongs together with theirs is read by a float operator.
    """
    unread, by_means_alone = _unread(plan, possible, True), _unread(plan, possible, False)
    neighbours: dict[Expr, list[Expr]] = {}
    for variable in by_means_alone:
        for reader in plan.through_movement(plan.readers.get(variable, ())):
            if plan.end(reader) in by_means_alone:
                neighbours.setdefault(variable, []).append(plan.end(reader))
                neighbours.setdefault(plan.end(reader), []).append(variable)
    grown = [v for v in by_means_alone if any(_is_float(plan, reader) for reader in plan.through_movement(plan.readers.get(v, ())))]
    together = set(grown)
    while grown:
        grown = [v for found in grown for v in neighbours.get(found, ()) if v not in together]
        together.update(grown)
    return unread | together


def _is_float(plan: Plan, reader: Expr) -> bool:
    return reader not in plan.chains[0] and not plan.takes_integers(reader, plan.call(reader))


def _unread(plan: Plan, possible: set[Expr], means: bool) -> set[Expr]:
    """The sums that no integer operator reads. means: whether means count."""
    roots, _ = plan.chains
    wanted: set[Expr] = set()

    def takes(variable: Expr, reader: Expr) -> bool:
        if plan.is_movement(reader) or reader in roots or variable in plan.absorbed:
            return reader in wanted
        name = operator_name(plan.call(reader))
        if not plan.takes_integers(reader, plan.call(reader)) or any(v not in possible for v in operands(plan.call(reader))):
            return False
        return reader in wanted if name in SUMS else means or name not in MEANS

    found: set[Expr] = set()
    for variable in reversed(list(plan.graph.definitions)):
        name = operator_name(plan.call(plan.core(variable)))
        result = variable in plan.results and name == "relax.concat"
        if variable in plan.demanded or result or any(takes(variable, reader) for reader in plan.readers.get(variable, ())):
            wanted.add(variable)
        elif name in SUMS and variable in possible and variable not in roots:
            found.add(variable)
    return found
