"""Loss and metrics without padding, for batches that must have one size on all ranks.

On JAX, all ranks run one program, so that each gives batches of the same shape. Rows that only fill a batch come with a mask in place
of the sample weights. The loss is then the mean over the real rows of all ranks, and metrics count the same rows as on one process.
"""

from __future__ import annotations

from typing import Any

from bitesize.errors import WrongModel
from bitesize.outputs.keras_format import Padded
from bitesize.training.backend import load_keras


def leave_out_padding(model: Any) -> None:
    """Make the loss and the metrics of a compiled Keras model take a `Padded` in place of sample weights.

    Raises
    ------
    WrongModel
        If the model has its own training step, which would not know of the padding.
    """
    if isinstance(getattr(model.compute_loss, "__self__", None), _PaddedSteps):
        return
    keras = load_keras()
    if type(model).train_step is not keras.Model.train_step or type(model).test_step is not keras.Model.test_step:
        raise WrongModel(
            f"{type(model).__name__} has its own train_step or test_step, and batches of several ranks have padding: use a batch_size and "
            'a number of rows that the ranks can share evenly, or last="drop"'
        )
    steps = _PaddedSteps(model)
    model.compute_loss, model.compute_metrics = steps.compute_loss, steps.compute_metrics
    if hasattr(model, "_update_metrics_variables"):  # on JAX, where steps are functions without side effects
        model._update_metrics_variables = steps.update_metrics_variables
    else:
        model._loss_tracker.update_state = steps.add_loss
    model._compute_loss_has_training_arg = True


class _PaddedSteps:
    """Methods of a model that leave out padding."""

    def __init__(self, model: Any) -> None:
        self._model, self._ops = model, load_keras().ops
        self._loss, self._metrics = model.compute_loss, model.compute_metrics
        self._update = getattr(model, "_update_metrics_variables", None)
        self._add_loss = model._loss_tracker.update_state
        self._rows: Any = None  # real rows of the last batch, if it has a mask
        self._takes_training = model._compute_loss_has_training_arg

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the mean loss of the real rows of all ranks."""
        self._rows = None
        if isinstance(sample_weight, Padded):  # Keras divides by all rows
            all_rows, rows = sample_weight.mask.shape[0], self._ops.sum(sample_weight.mask)
            self._rows = rows if self._update is None else None
            sample_weight = sample_weight.weight * (all_rows / self._ops.maximum(rows, 1.0))
        more = {"training": training} if self._takes_training else {}
        return self._loss(x, y, y_pred, sample_weight, **more)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Update the metrics by the real rows: those without weights by the mask, the others by the weights."""
        metrics = self._model._compile_metrics
        if not isinstance(sample_weight, Padded) or metrics is None:
            return self._metrics(x, y, y_pred, None if isinstance(sample_weight, Padded) else sample_weight)
        if not metrics.built:
            metrics.build(y, y_pred)
        outputs = list(zip(metrics._flatten_y(y), metrics._flatten_y(y_pred), strict=True))
        kinds = (metrics._flat_metrics, sample_weight.mask), (metrics._flat_weighted_metrics, sample_weight.weight)
        for kind, weight in kinds:
            for metric, (y_true, predicted) in zip(kind, outputs, strict=False):
                if metric:
                    metric.update_state(y_true, predicted, weight)
        return self._model.get_metrics_result()

    def update_metrics_variables(
        self, metrics_variables: Any, unscaled_loss: Any, x: Any, y: Any, y_pred: Any, sample_weight: Any
    ) -> Any:
        """Add the loss to its running mean, with the weight of the real rows."""
        arguments = metrics_variables, unscaled_loss, x, y, y_pred, sample_weight
        assert self._update is not None
        if not isinstance(sample_weight, Padded):
            return self._update(*arguments)
        self._rows = self._ops.sum(sample_weight.mask)
        self._model._loss_tracker.update_state = self.add_loss
        try:
            return self._update(*arguments)
        finally:
            del self._model._loss_tracker.update_state
            self._rows = None

    def add_loss(self, loss: Any, sample_weight: Any = None) -> Any:
        """Add a loss to its running mean, with the weight of the real rows in place of all rows."""
        return self._add_loss(loss, sample_weight=sample_weight if self._rows is None else self._rows)
