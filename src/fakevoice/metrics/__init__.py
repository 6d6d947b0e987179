"""Metrics: labels and probabilities → numbers with intervals.

- `measures/`: plug-ins, one metric each
- `checks`: checks of labels and probabilities, averages over outputs; `roc`: error rates at every threshold
- `bootstrap`: confidence intervals; `slices`: scores of parts of the data
"""
