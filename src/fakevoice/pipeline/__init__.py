"""The pipeline: a config → all stages up to date, from raw data to the submission.

- `checks`: tries everything that a config names before the first stage
- `stages/`: one file per stage; `runner`: finds stale stages and runs them
- `feature_shards`: renders scenes and fills the feature cache
- `long_files`: windows of long files
- `submission`: writes and checks the submission
- `history`, `summary`: times of stages, and the closing summary
- `resume`: a new run with additional labelled clips; `tracking`: MLflow
"""
