"""What holds for all tests: properties draw the same examples in each run, on any machine.

`DRET_RANDOM=1` draws new ones; hypothesis prints how to repeat a failure.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeatable",
    derandomize="DRET_RANDOM" not in os.environ,
    database=None,
    # The machine decides how long an example takes; a timed test would fail by chance.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")
