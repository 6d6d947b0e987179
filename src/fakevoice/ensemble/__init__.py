"""Ensemble: out-of-fold logits and pooled features → calibrated probabilities and their expected score.

- `stacker`: LightGBM on one fold; `stacking`: on all folds
- `calibrators/`: plug-ins; `calibration`: what they share
- `blend`: members → calibrated probabilities
- `label_shares`, `label_shift`: label frequencies in the unlabeled clips, and adjusting probabilities to them
- `expected_score`: expected test score with an interval
- `pooling`, `file_scores`: windows of long files → answers of files, and their score
- `ood`: distance of a clip from the training data
- `evaluate`: all of this for one run
"""
