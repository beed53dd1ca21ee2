"""Work on data by several processes and machines, with Ray. `bitesize.to_ray` makes a dataset of Ray Data.

Importing this module does not import Ray.
"""

from bitesize.cluster.packing import pack
from bitesize.cluster.workers import Workers

__all__ = ["Workers", "pack"]
