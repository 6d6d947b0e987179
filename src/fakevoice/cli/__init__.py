"""Command line: words typed after ``./run.sh`` → a command.

- `command_line`: the parser; `arguments`: configs and files named on the command line
- `commands`, `audio_commands`: one function per command; `outputs`: checks of files that they write
- `doctor` with `estimate`, `score`, `leaderboard`, `bakeoff`, `tune` with `search_space`, `notebooks`, `timeline_plot`:
  larger commands
- `environment`: what run.sh asks Python for, before packages are installed
"""
