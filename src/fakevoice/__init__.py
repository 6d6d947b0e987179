"""fakevoice: predicts which voices in a 5-second clip are real, generated, both or neither.

Data flows in one direction; a package imports only packages below it (tests/test_imports.py checks this).

    cli → serve | monitor | export | packaging → report → pipeline → inference | analysis → training | ensemble → scenes
        → data | features → audio | parallel | metrics → core
"""

__version__ = "0.1.0"
