"""Packages for code competitions: a finished run → files that a server runs offline on hidden data, and their check.

- `requirements`: what the server lacks
- `model_folder`: weights, config, encoders and code of a run; `builder`: submit.zip, or a Kaggle dataset and notebook
- `trial_data`: test clips and difficult files; `sandbox`: a new environment without network; `check`: all of the check
- `scripts/`: files that are copied into a package or into the environment of the check
"""
