"""Foundations that every other package uses: configuration, paths, artifacts, plug-ins. Imports nothing of the package.

- `errors`: every error that a caller can handle
- `yaml_values`, `config_sections`, `config`: YAML files and ``key=value`` overrides → one checked `Config`
- `paths`: folders of a run; `remote`, `download`: data at a URL
- `names`: file names in other Unicode normal forms or with backslashes
- `library_caches`: writable cache folders for Numba and Matplotlib
- `plugins`: plug-ins by file name; `code_hash`: hashes of the code that an artifact depends on
- `artifacts`, `tables`, `locks`: atomic files with checksums, CSV tables, locks between processes
- `random`: named random streams
- `tasks`: what multi-label, binary and multi-class tasks mean for targets and probabilities
- `progress`: progress bars; `models`: pretrained models on disk; `third_party`: imports that need preparation
- `figures`: Matplotlib figures whose text is shown as written
"""
