"""Export: a finished run → ONNX and TorchScript files, a model card and an example script.

- `graph`: features, networks and blend as one graph of tensors; `without_stacker`: the exported ensemble
- `formats`: ONNX, TorchScript and int8; `model_card`: the model card; `exporter`: all of it
- `example/`: the script that is copied next to the model
"""
