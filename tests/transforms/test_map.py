"""The user's own functions."""

import numpy as np
import pytest
from tests.conftest import noise, write_jpeg

import bitesize as bs

X = np.arange(24, dtype=np.float32).reshape(12, 2)


def loader(*transforms, source=None, **options):
    settings = {"batch_size": 4, "memory": "32 MiB", "shuffle": False} | options
    return bs.Loader(source or bs.open(X, np.arange(12)), transforms=list(transforms), **settings)


def test_a_function_of_a_row_may_change_its_shape_and_type():
    with loader(bs.Scale(2), bs.Map(lambda x: np.append(x, x.sum()).astype(np.float64))) as batches:
        assert batches.spec["x"] == bs.Field((3,), np.dtype("f8"))
        out = np.concatenate([batch["x"].copy() for batch in batches])
    assert np.array_equal(out, np.column_stack([X * 2, (X * 2).sum(axis=1)]))


def test_functions_follow_each_other():
    with loader(bs.Map(lambda x: x[:1]), bs.Map(lambda x: x.astype(np.int32) + 1), bs.Map(lambda x: x[0])) as batches:
        out = np.concatenate([batch["x"].copy() for batch in batches])
    assert out.dtype == np.int32
    assert np.array_equal(out, X[:, 0] + 1)


def test_several_fields_come_as_a_dict_and_new_ones_may_be_added():
    def fn(row):
        return {"y": np.float32(row["y"] * 10), "sum": row["x"].sum()}

    with loader(bs.Map(fn, fields=("x", "y"))) as batches:
        assert set(batches.spec) == {"x", "y", "sum"}
        for batch in batches:
            assert np.array_equal(batch["y"], batch.rows * 10)
            assert np.array_equal(batch["sum"], X[batch.rows].sum(axis=1))
            assert np.array_equal(batch["x"], X[batch.rows])


def test_a_function_of_a_batch_sees_all_its_rows():
    def fn(x):
        return x - x.mean(axis=0)

    with loader(bs.Map(fn, batch=True), batch_size=5) as batches:
        sizes = []
        for batch in batches:
            rows = X[batch.rows]
            np.testing.assert_allclose(batch["x"], rows - rows.mean(axis=0))
            sizes.append(len(rows))
    assert sizes == [5, 5, 2]


def test_a_function_of_a_batch_may_change_shapes_and_follow_mixing():
    with loader(
        bs.Map(lambda x: x * 2), bs.MixUp(1.0), bs.Map(lambda b: {"x": b["x"].sum(axis=1), "top": b["y"].argmax(axis=1)},
        fields=("x", "y"), batch=True),
    ) as batches:  # fmt: skip
        batch = next(iter(batches))
        assert batch["x"].shape == (4,)
        assert batch["y"].shape == (4, 12)
        assert batch["top"].shape == (4,)
        assert abs(batch["x"].sum() - X[:4].sum() * 2) < 1e-3
        assert set(batch) == {"x", "y", "top"}


def test_random_functions_depend_on_seed_epoch_and_position_alone():
    def fn(x, rng):
        return x + rng.random(2, np.float32)

    def epochs(**options):
        with loader(bs.Map(fn, random=True), shuffle=True, **options) as batches:
            return [np.concatenate([batch["x"].copy() for batch in batches]) for _ in range(2)]

    first, second = epochs(threads=1)
    again, _ = epochs(threads=4, batch_size=6)
    other, _ = epochs(seed=1)
    assert np.array_equal(first, again)
    assert not np.array_equal(np.sort(first % 1, axis=0), np.sort(second % 1, axis=0))
    assert not np.array_equal(np.sort(first % 1, axis=0), np.sort(other % 1, axis=0))


def test_what_is_said_is_not_learned_from_a_row(tmp_path):
    path = write_jpeg(tmp_path / "a.jpg", noise(20, 20))
    said = bs.Field((), np.dtype("f4"))
    with loader(
        bs.Resize(8), bs.Map(lambda x: np.float32(x.mean()), output=said), source=bs.open([path]), batch_size=1
    ) as batches:
        path.unlink()  # making the loader needed no row
        with pytest.raises(bs.FileChanged):
            next(iter(batches))


def test_images_and_masks_come_as_they_were_drawn(tmp_path):
    for i in range(3):
        write_jpeg(tmp_path / f"{i}.jpg", noise(40, 50, seed=i))
    seen = []

    def fn(x):
        seen.append((x.shape, x.dtype.name, x.flags.c_contiguous))
        return x[::2, ::2].mean(axis=2)

    with loader(bs.Resize((16, 20)), bs.Map(fn), source=bs.open(tmp_path), batch_size=3) as batches:
        assert next(iter(batches))["x"].shape == (3, 8, 10)
    assert set(seen) == {((16, 20, 3), "uint8", True)}


@pytest.mark.parametrize("batch", [False, True])
def test_a_later_row_that_differs_is_an_error_naming_both_shapes_and_the_loader_goes_on(batch):
    strange = [True]

    def fn(x):
        rows = np.atleast_2d(x)
        if rows.max() >= 14 and strange[0]:
            return x[..., :1]
        return x

    with loader(bs.Map(fn, batch=batch)) as batches:
        with pytest.raises(bs.BadResult, match=r"of shape \((4, )?1,?\), but it must be \((4, )?2,?\)") as caught:
            for _ in batches:
                pass
        assert "epoch 0" in str(caught.value)
        assert ("row 7" in str(caught.value)) != batch
        strange[0] = False
        assert sum(len(batch.rows) for batch in batches) == 12


@pytest.mark.parametrize(
    ("fn", "problem"),
    [
        (lambda x: None, "returned NoneType, but must return an array"),
        (lambda x: "text", "must return numbers"),
        (lambda x: {"z": x, "y": None}, "must return numbers"),
    ],
    ids=range(3),
)
def test_what_cannot_stand_in_a_batch_is_refused_when_the_loader_is_made(fn, problem):
    with pytest.raises(bs.BadResult, match=problem):
        loader(bs.Map(fn))


def test_a_result_that_loses_values_is_refused():
    with (
        loader(bs.Map(lambda x: x + 0.5, output=bs.Field((2,), np.dtype("i4")))) as batches,
        pytest.raises(bs.BadResult, match="of float32, but it must be int32"),
    ):
        next(iter(batches))


def test_a_function_of_batches_must_return_all_rows():
    with pytest.raises(bs.BadResult, match="first axis must be the rows"):
        loader(bs.Map(lambda x: x.sum(axis=0), batch=True))


def test_a_field_that_is_not_there_is_named():
    with pytest.raises(bs.BadSetting, match="takes the field 'z'"):
        loader(bs.Map(len, fields="z"))


def test_an_exception_keeps_its_traceback_and_says_where_it_was():
    def divide(x):
        return x / (3 - int(x[0] // 2)) if x[0] != 6 else 1 / 0

    with loader(bs.Map(divide, output=bs.Field((2,), np.dtype("f4")))) as batches:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError) as caught:
                for _ in batches:
                    pass
            assert any(entry.name == "divide" for entry in caught.traceback)
            assert "row 3 (row 3, epoch 0)" in "".join(caught.value.__notes__)


def test_what_a_function_needs_beside_the_batch_is_in_the_plan():
    wide = bs.open(np.zeros((64, 1000), np.float32))
    with loader(bs.Map(lambda x: x[:, :1], batch=True), source=wide, batch_size=64) as batches:
        slots = next(part for part in batches.plan.parts if part.name == "batch buffers")
        assert slots.nbytes >= 3 * 64 * 4004  # whole rows and what becomes of them stand in the slot
    with loader(bs.Map(lambda x: x[:1]), source=wide, batch_size=64) as batches:
        slots = next(part for part in batches.plan.parts if part.name == "batch buffers")
        assert slots.nbytes < 64 * 4000  # one row at a time needs no room in the slot


def test_order_of_steps():
    for steps in ([bs.Map(len), bs.Scale(2)], [bs.Map(len, batch=True), bs.MixUp()], [bs.MixUp(), bs.Map(len)]):
        with pytest.raises(bs.BadSetting, match="cannot follow"):
            loader(*steps)


def test_albumentations_and_torchvision_pipelines_work(tmp_path):
    """As the documentation shows it; each where it is installed."""
    x = np.stack([noise(40, 50, seed=i) for i in range(4)])
    ran = 0
    try:
        import albumentations
    except ImportError:
        pass
    else:
        augment = albumentations.Compose([albumentations.CenterCrop(20, 30), albumentations.HorizontalFlip(p=1.0)])
        with loader(bs.Map(lambda image: augment(image=image)["image"]), source=bs.open(x)) as batches:
            assert np.array_equal(next(iter(batches))["x"], x[:, 10:30, 10:40][:, :, ::-1])
        ran += 1
    try:
        import torch
        from tests.transforms.torchvision_here import import_v2

        v2 = import_v2()
    except ImportError:
        pass
    else:
        pipeline = v2.Compose([v2.CenterCrop((20, 30)), v2.ToDtype(torch.float32, scale=True)])
        with loader(bs.Map(lambda image: pipeline(torch.from_numpy(image))), source=bs.open(x), layout="CHW") as batches:
            np.testing.assert_allclose(next(iter(batches))["x"], x[:, 10:30, 10:40].transpose(0, 3, 1, 2) / 255, rtol=1e-6)
        ran += 1
    if not ran:
        pytest.skip("neither albumentations nor torchvision is installed")
