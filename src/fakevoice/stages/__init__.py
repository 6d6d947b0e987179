"""The stages of the line, one thin script per file."""
