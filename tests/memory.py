"""How much memory a process has needed."""

import sys
from pathlib import Path

import psutil


def peak_memory() -> int:
    """Greatest resident memory of this process so far, in bytes.

    On Linux `ru_maxrss` also counts the process that started this one; /proc does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
