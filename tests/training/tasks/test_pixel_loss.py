"""Loss and metrics of masks."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")
from bitesize.training.tasks.pixel_loss import pixel_classes  # noqa: E402 - Keras is optional
from bitesize.training.tasks.segment import Segment  # noqa: E402


def examples(rows=5, classes=3):
    """Return masks with ignored pixels, and logits."""
    random = np.random.default_rng(1)
    return random.choice([*[0, 4, 9][:classes], 255], (rows, 4, 6)).astype(np.uint8), random.normal(
        size=(rows, 4, 6, classes)
    ).astype(np.float32)


def test_the_loss_of_a_row_is_the_mean_of_its_pixels_that_count():
    y, logits = examples()
    task = Segment(("a", "b", "c"), numbers=(0, 4, 9), ignored=255, counts=(1, 1, 1))
    odds = task.decode(logits.astype(np.float64), "logits")
    rows = []
    for mask, scores in zip(y, odds, strict=True):
        rows.append(
            np.mean([-scores[mask == number][:, k].sum() for k, number in enumerate((0, 4, 9))]) * 3 / (mask != 255).sum()
        )
    loss = pixel_classes().Crossentropy((0, 4, 9))
    assert float(loss(y, logits)) == pytest.approx(np.mean(rows), rel=1e-5)
    weights = np.array([1, 0, 2, 0, 0], np.float32)
    assert float(loss(y, logits, weights)) == pytest.approx((rows[0] + 2 * rows[2]) / 5, rel=1e-5)
    assert task.score(y, odds, 0).loss == pytest.approx(sum(rows))


def test_class_weights_multiply_the_loss_of_pixels():
    y, logits = examples()
    classes = pixel_classes()
    only = [float(classes.Crossentropy((0, 4, 9), class_weights=[i == k for i in range(3)])(y, logits)) for k in range(3)]
    both = classes.Crossentropy((0, 4, 9), class_weights=[1.0, 2.0, 0.5])
    assert float(both(y, logits)) == pytest.approx(only[0] + 2 * only[1] + 0.5 * only[2], rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "figure"), [("Accuracy", "pixel_accuracy"), ("MeanIoU", "mean_iou"), ("Dice", "mean_dice")]
)
def test_metrics_of_an_epoch_are_those_of_all_pixels_and_padding_does_not_count(kind, figure):
    y, logits = examples()
    task = Segment(("a", "b", "c"), numbers=(0, 4, 9), ignored=255, counts=(1, 1, 1))
    expected = task.joined([task.score(y, task.decode(logits, "logits"), 0)], len(y))[figure]
    metric = getattr(pixel_classes(), kind)((0, 4, 9), "metric")
    metric.update_state(y[:2], logits[:2])
    padded = np.concatenate([y[2:], y[:1]]), np.concatenate([logits[2:], logits[:1]])
    metric.update_state(*padded, np.array([1, 1, 1, 0], np.float32))
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


def test_loss_and_metrics_are_saved_by_keras():
    classes = pixel_classes()
    loss = classes.Crossentropy((0, 1), class_weights=[1.0, 3.0])
    assert keras.losses.deserialize(keras.losses.serialize(loss)).get_config() == loss.get_config()
    metric = classes.Dice((0, 1), "dice")
    assert keras.metrics.deserialize(keras.metrics.serialize(metric)).numbers == [0, 1]


def test_one_value_per_pixel_is_the_second_of_two_classes():
    y, logits = examples(classes=1)
    two = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    loss = pixel_classes().Crossentropy((4, 0))
    assert float(loss(y, logits)) == pytest.approx(float(loss(y, two)), rel=1e-5)
