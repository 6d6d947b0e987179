"""The stages of the pipeline, one script per file."""
