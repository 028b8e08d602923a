"""How many cases are tried: a few in every run of the tests, as many as wanted on request."""

import os
import time

from hypothesis import HealthCheck, settings

from napari_mobilesam.core.errors import MobileSAMError

IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
LONG_FACTOR = int(os.environ.get("HYPOTHESIS_FACTOR", "100"))

LONGEST_S = 30.0
"""Processor time after which one case counts as one that hangs."""


def cases(count):
    """Try so many cases, the same in every run; with the long profile new ones, and many more."""
    return settings(
        max_examples=count * (LONG_FACTOR if IS_LONG else 1),
        deadline=None,
        derandomize=not IS_LONG,
        database=None,
        print_blob=True,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.large_base_example,
        ],
    )


def attempt(work):
    """Return what a function returns, None for an error of ours; it must not compute for long."""
    start = time.process_time()
    try:
        return work()
    except MobileSAMError as error:
        if not str(error):
            raise
        return None
    finally:
        assert time.process_time() - start < LONGEST_S, "it hangs"
