# SPDX-License-Identifier: Apache-2.0
"""Fuzzing: wrong input of every kind, against the code and against a running server.

``python -m tests.fuzz --help`` says how it is run; each module but the runner's is one target.
"""

import sys
from pathlib import Path

# The helpers of the tests are found as the tests find them.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
