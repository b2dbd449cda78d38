"""The schedule rules of CPUs, in the order they are tried. Each is parameterised by the target's features."""

from nnc_tvm.schedules.rule import Rule

CPU_RULES: tuple[Rule, ...] = ()
