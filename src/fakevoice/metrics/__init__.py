"""Metrics: labels and probabilities → numbers with intervals.

- `measures/`: plug-ins, one metric each
- `checks`: checks of labels and probabilities, averages over outputs
- `bootstrap`: confidence intervals; `slices`: scores of parts of the data
"""
