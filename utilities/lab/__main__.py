# SPDX-License-Identifier: Apache-2.0
"""python3 -m lab: the entry for the nvo3-sandbox script."""

import sys

from .process import LabError
from .sandbox import main

try:
    sys.exit(main(sys.argv[1:]))
except LabError as error:
    print(f"nvo3-sandbox: {error}", file=sys.stderr)
    sys.exit(1)
except KeyboardInterrupt:
    sys.exit(130)
