# SPDX-License-Identifier: Apache-2.0
"""python3 -m lab: the entry for the nvo3-sandbox script."""

import os
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
except BrokenPipeError:     # 'nvo3-sandbox status | head'
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(141)
