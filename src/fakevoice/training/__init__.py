"""Training of networks: cached features → weights and logits, one network per fold.

- `models/`, `augment/`, `adaptation/`: plug-ins
- `standardize`: standardised features; `batches`: cached features → augmented batches
- `networks`: builds, saves and loads networks; `warm_start`: initial weights from another run
- `precision`: bf16 or fp32; `schedule`: learning rate
- `loss`: loss of labels and states; `unlabeled_clips`: adaptation to the unlabeled clips
- `loop`: optimisation steps of an epoch; `fold_trainer`: one fold; `cross_validation`: all networks and folds
- `tensorboard`: learning curves
- `sinc_filters`: shared by several models
"""
