"""Task segment: the classes in masks, what is refused, scores and masks as results."""

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.training.data import open_data
from bitesize.training.settings import TrainSettings
from bitesize.training.tasks.choose import saved_task
from bitesize.training.tasks.segment import Segment


def pictures(folder, masks, images=None):
    """Write images and masks of one name each."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for i, mask in enumerate(masks):
        mask = np.asarray(mask, np.uint8)
        image = np.zeros((*mask.shape, 3), np.uint8) if images is None else images[i]
        Image.fromarray(image).save(folder / "images" / f"{i}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{i}.png")
    return folder


def mask_of(*numbers):
    """Return a mask of 4 x 4 pixels with these numbers in turn."""
    return np.resize(np.array(numbers, np.uint8), (4, 4))


def task_of(folder, **settings):
    """Return the task of a folder."""
    return open_data(TrainSettings(str(folder), val_split=0.5, **settings)).task


def test_the_classes_are_the_numbers_in_all_masks(tmp_path):
    task = task_of(pictures(tmp_path, [mask_of(0), mask_of(0, 3), mask_of(7, 0), mask_of(0)]))
    assert (task.name, task.names, task.numbers, task.ignored) == ("segment", ("0", "3", "7"), (0, 3, 7), None)
    assert sum(task.counts) == 4 * 16


def test_255_beside_a_few_classes_is_ignored_but_not_as_one_of_two_numbers(tmp_path):
    void = pictures(tmp_path / "void", [mask_of(0, 1, 255)] * 4)
    two = pictures(tmp_path / "two", [mask_of(0, 255)] * 4)
    assert (task_of(void).ignored, task_of(void).numbers) == (255, (0, 1))
    assert "255 are ignored" in " ".join(task_of(void).said)
    assert (task_of(two).ignored, task_of(two).numbers) == (None, (0, 255))
    assert task_of(void, ignore_class="none").numbers == (0, 1, 255)
    assert task_of(void, ignore_class="0").numbers == (1, 255)


def test_255_beside_levels_of_gray_is_a_class(tmp_path):
    task = task_of(pictures(tmp_path, [mask_of(0, 128, 255)] * 4))
    assert (task.ignored, task.numbers) == (None, (0, 128, 255))


@pytest.mark.parametrize(("objects", "said"), [(True, True), (False, False)])
def test_numbers_of_objects_are_said_to_be_no_classes(tmp_path, objects, said):
    masks = [np.arange(16).reshape(4, 4) % 8 + 8 * i * objects for i in range(6)]
    choices = open_data(TrainSettings(str(pictures(tmp_path, masks)), val_split=0.5)).train.choices
    assert any("do they number objects?" in str(choice) for choice in choices) == said


def test_masks_of_colors_or_in_jpegs_name_the_way_on(tmp_path):
    folder = pictures(tmp_path / "colors", [mask_of(0, 1)] * 4)
    for i in range(4):
        Image.new("RGB", (4, 4)).save(folder / "masks" / f"{i}.png")
    with pytest.raises(bs.BadFile, match="save class numbers as 8-bit gray, not colors"):
        task_of(folder, labels=None)
    folder = pictures(tmp_path / "lossy", [mask_of(0, 1)] * 4)
    for path in (folder / "masks").iterdir():
        with Image.open(path) as mask:
            mask.save(path.with_suffix(".jpg"))
        path.unlink()
    with pytest.raises(bs.NotFound, match="masks must be in a lossless format, such as PNG"):
        bs.open(folder / "images", labels=str(folder / "masks"))


def test_arrays_of_masks_are_segmented_too(tmp_path):
    np.savez(
        tmp_path / "data.npz",
        x=np.zeros((6, 16, 16, 3), np.uint8),
        y=np.arange(6 * 256).reshape(6, 16, 16).astype(np.uint8) % 3,
    )
    task = task_of(tmp_path / "data.npz")
    assert (task.name, task.numbers) == ("segment", (0, 1, 2))


def test_models_of_one_prediction_per_row_are_refused_before_masks_are_read(tmp_path):
    folder = pictures(tmp_path, [mask_of(0)] * 4)
    (folder / "masks" / "0.png").write_bytes(b"damaged")
    for model in ("mlp", "cnn", "MobileNetV2", "sklearn:SGDClassifier"):
        with pytest.raises(bs.BadSetting, match="predicts one class per row"):
            task_of(folder, model=model)


def test_masks_of_one_class_and_labels_without_masks_are_refused(tmp_path):
    with pytest.raises(bs.BadSetting, match="only one class"):
        task_of(pictures(tmp_path / "a", [mask_of(1)] * 4))
    np.savez(tmp_path / "b.npz", x=np.zeros((6, 16, 16, 3), np.uint8), y=np.arange(6) % 2)
    with pytest.raises(bs.BadSetting, match="needs a mask for each image"):
        task_of(tmp_path / "b.npz", task="segment")
    with pytest.raises(bs.BadSetting, match="--ignore-class is for masks"):
        task_of(tmp_path / "b.npz", ignore_class="255")


def test_a_validation_mask_with_an_unknown_number_is_named(tmp_path):
    train = pictures(tmp_path / "train", [mask_of(0, 1)] * 2)
    val = pictures(tmp_path / "val", [mask_of(0, 1), mask_of(0, 9)])
    with pytest.raises(bs.BadFile, match=r"1\.png \(row 1\) has the number 9"):
        open_data(TrainSettings(str(train), val=str(val)))


def test_a_saved_task_is_the_same(tmp_path):
    task = task_of(pictures(tmp_path, [mask_of(0, 1, 255)] * 4)).fitted(None, class_weights=True)
    saved = saved_task({"task": task.as_dict(), "input_shape": [4, 4, 3]}, task.names)
    assert saved == Segment(task.names, task.loss, task.numbers, 255, task.counts, True, (4, 4))


def test_class_weights_are_inverse_to_the_pixels_of_a_class():
    task = Segment(("a", "b"), numbers=(0, 1), counts=(75, 25), weighs=True)
    assert task.class_weights == [100 / (2 * 75), 100 / (2 * 25)]


def test_scores_of_batches_join_to_the_scores_of_all_pixels():
    random = np.random.default_rng(0)
    task = Segment(("a", "b", "c"), numbers=(0, 2, 5), ignored=255, counts=(9, 2, 1))
    labels = random.choice([0, 2, 5, 255], (6, 4, 5)).astype(np.uint8)
    odds = task.decode(random.normal(size=(6, 4, 5, 3)), "logits")
    whole = task.joined([task.score(labels, odds, 0)], 6)
    parts = task.joined((task.score(labels[part], odds[part], 0) for part in (slice(0, 1), slice(1, 4), slice(4, 6))), 6)
    assert parts["confusion"] == whole["confusion"]
    assert parts["mean_iou"] == whole["mean_iou"]
    assert parts["loss"] == pytest.approx(whole["loss"])
    best = np.array([0, 2, 5])[odds.argmax(-1)]
    there = labels != 255
    ious = [((best == n) & (labels == n)).sum() / (there & ((best == n) | (labels == n))).sum() for n in (0, 2, 5)]
    assert whole["mean_iou"] == pytest.approx(np.mean(ious))
    assert whole["baseline"]["mean_iou"] == pytest.approx((labels == 0).sum() / there.sum() / 3)


def test_two_classes_may_have_one_value_per_pixel():
    task = Segment(("a", "b"), numbers=(0, 1), counts=(1, 1))
    z = np.array([[[[-2.0], [3.0]]]])
    assert task.fits_output((None, 8, 8, 1), (8, 8, 3))
    assert not Segment(("a", "b", "c"), numbers=(0, 1, 2)).fits_output((None, 8, 8, 1), (8, 8, 3))
    p = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(task.decode(z, "logits"), task.decode(p, "probabilities"))
    assert task.predicted(task.decode(z, "logits")).tolist() == [[0, 1]]


def test_masks_that_are_held_have_the_numbers_of_the_classes():
    task = Segment(("a", "b"), numbers=(3, 255), counts=(1, 1), size=(1, 2))
    held = task.held(np.array([[0, 1], [np.nan, np.nan]], np.float32))
    assert held.dtype == np.uint8
    assert held.tolist() == [[3, 255], [0, 0]]


def test_masks_of_volumes_have_three_axes(tmp_path):
    x = np.zeros((6, 4, 8, 8), np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(6 * 256).reshape(x.shape).astype(np.uint8) % 3)
    task = task_of(tmp_path / "data.npz", axes="DHW")
    assert (task.name, task.dimensions, task.output_shape((4, 8, 8))) == ("segment", 3, (4, 8, 8, 3))
    assert task.fits_output((None, 4, None, 8, 3), (4, 8, 8))
    assert not task.fits_output((None, 4, 8, 3), (4, 8, 8))
    saved = saved_task({"task": task.as_dict(), "input_shape": [4, 8, 8]}, task.names)
    assert (saved.size, saved.dimensions, saved.width) == ((4, 8, 8), 3, 256)


def test_a_run_that_was_saved_without_dimensions_has_images():
    task = Segment(("a", "b"), numbers=(0, 1), counts=(1, 1))
    saved = {name: value for name, value in task.as_dict().items() if name != "dimensions"}
    assert saved_task({"task": saved, "input_shape": [4, 8, 3]}, task.names).size == (4, 8)


def test_scores_of_volumes_are_those_of_the_same_voxels_as_an_image():
    random = np.random.default_rng(0)
    labels, scores = random.choice([0, 1, 255], (2, 3, 4, 5)), random.normal(size=(2, 3, 4, 5, 2))
    volumes = Segment(("a", "b"), numbers=(0, 1), ignored=255, counts=(1, 1), dimensions=3)
    images = Segment(("a", "b"), numbers=(0, 1), ignored=255, counts=(1, 1))
    odds = volumes.decode(scores, "logits")
    found = volumes.joined([volumes.score(labels, odds, 0)], 2)
    flat = images.joined([images.score(labels.reshape(2, 12, 5), odds.reshape(2, 12, 5, 2), 0)], 2)
    assert found == flat
    assert found["per_class"][0]["pixels"] == (labels == 0).sum()
