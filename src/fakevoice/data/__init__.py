"""Competition data: a raw folder → checked table of clips, groups and folds.

- `adapters/`: plug-ins that read one layout each; `clip_tables`, `generated_folders`: what adapters share;
  `asvspoof`: protocols of the ASVspoof challenges
- `audit`: decodes and measures every file once
- `groups`: clips → groups and recording channels; `folds`: groups → folds, and folds.csv
- `leakage`: checks that no fold is trained on what it is scored on
- `shortcuts`: labels that can be predicted from recording conditions, and weights against it
- `synthetic`: which models were trained on generated voices only
- `clip_cache`: training clips decoded once
- `unlabeled`: unlabeled clips that a run may learn from
"""
