"""`python -m fakevoice` is `./run.sh`."""

import sys

from fakevoice.cli import main

sys.exit(main())
