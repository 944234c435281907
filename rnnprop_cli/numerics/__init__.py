"""Tensor helpers that know nothing of optimizees or optimizers."""
