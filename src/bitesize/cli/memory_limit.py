"""The memory limit of the demo's processes."""

from __future__ import annotations

import sys

# RLIMIT_DATA covers private mappings on Linux since 4.7; macOS ignores it for them, and Windows does not have it.
ENFORCED = sys.platform == "linux"


def limit_memory(nbytes: int) -> None:
    """Limit the private memory of this process, where the system enforces it."""
    if ENFORCED:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (nbytes, nbytes))
