"""Training and prediction with scikit-learn's estimators, batch by batch, and with other objects that have their methods.

Importing this module does not import scikit-learn.
"""

from bitesize.outputs.results import predict
from bitesize.outputs.sklearn import partial_fit

__all__ = ["partial_fit", "predict"]
