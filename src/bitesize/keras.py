"""Training with Keras that resumes at the exact batch. `bitesize.to_keras` makes the dataset for a ``fit`` of your own.

Importing this module does not import Keras.
"""

from bitesize.training.checkpoint import Checkpoint
from bitesize.training.fit import fit
from bitesize.training.prepared_task import PreparedTask, build_model, prepare_task

__all__ = ["Checkpoint", "PreparedTask", "build_model", "fit", "prepare_task"]
