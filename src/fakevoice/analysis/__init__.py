"""Analysis of a finished run: artifacts → tables for notebooks, reports and the stage `results`.

- `finished_run`: loads the artifacts of a run
- `results`, `results_report`: scores by member, fold and group, as tables and as Markdown with charts
- `exploration`: clips and spectra before any training
- `separation`, `domain_gap`: scenes compared with unlabeled clips
"""
