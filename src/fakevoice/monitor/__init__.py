"""Monitoring: new recordings → drift against the training data, and a verdict.

- `clips`: recordings → facts, features and answers; `drift`: statistical tests; `verdict`: what to do about it
- `html_page`: the report; `watch`: continuous monitoring of a folder
"""
