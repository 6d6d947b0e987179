"""Networks, one per file: build(shape, n_outputs, **args) → torch module."""
