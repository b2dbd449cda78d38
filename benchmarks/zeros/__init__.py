"""Layers with zeros in every pattern: what `benchmarks/sparsity.py` builds, measures and writes."""
