"""`python -m fakevoice` is `./run.sh`."""

import sys

from fakevoice.cli.command_line import main

sys.exit(main())
