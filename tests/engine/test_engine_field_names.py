"""Data with names of their own keep them from the file to the model."""

import io

import numpy as np
import pytest
from PIL import Image

import bitesize as bs
from bitesize.errors import BadSetting

ROWS = 60


@pytest.fixture
def values():
    random = np.random.default_rng(0)
    return {
        "depth": random.random((ROWS, 2)).astype(np.float32),
        "images": random.integers(0, 256, (ROWS, 8, 8, 3), np.uint8),
        "label": np.arange(ROWS) % 2,
    }


def hdf5(folder, values):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "a.h5", "w") as file:
        for name, array in values.items():
            file.create_dataset(name, data=array, chunks=(7, *array.shape[1:]) if name == "images" else None)
    return bs.open(folder / "a.h5")


def plain_hdf5(folder, values):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "a.h5", "w") as file:
        for name, array in values.items():
            file[name] = array
    return bs.open(folder / "a.h5")


def npz(folder, values):
    np.savez(folder / "a.npz", **values)
    return bs.open(folder / "a.npz")


def several(folder, values):
    for i in range(2):
        (folder / str(i)).mkdir(exist_ok=True)
        hdf5(folder / str(i), {name: array[i * 30 : i * 30 + 30] for name, array in values.items()})
    return bs.open([folder / "0" / "a.h5", folder / "1" / "a.h5"])


def parquet(folder, values):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pixels = []
    for image in values["images"]:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        pixels.append(file.getvalue())
    depth = pa.FixedSizeListArray.from_arrays(values["depth"].reshape(-1), 2)
    pq.write_table(pa.table({"depth": depth, "images": pixels, "label": values["label"]}), folder / "a.parquet")
    return bs.open(folder / "a.parquet")


@pytest.mark.parametrize("kind", [hdf5, plain_hdf5, npz, several, parquet])
@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_have_the_names_of_the_data_and_transforms_are_for_the_images(tmp_path, values, kind, shuffle):
    source = kind(tmp_path, values)
    assert source.primary == "images"
    with bs.Loader(
        source, batch_size=16, memory="64 MiB", transforms=[bs.Scale(1 / 255)], layout="CHW", shuffle=shuffle
    ) as loader:
        seen = []
        for batch in loader:
            assert sorted(batch) == ["depth", "images", "label"]
            scaled = values["images"][batch.rows].transpose(0, 3, 1, 2) / np.float32(255)
            assert np.allclose(batch["images"], scaled, atol=1e-6)
            assert np.array_equal(batch["depth"], values["depth"][batch.rows])
            assert np.array_equal(batch["label"], values["label"][batch.rows])
            seen += batch.rows.tolist()
            del batch
        assert sorted(seen) == list(range(ROWS))
        assert "images" in str(loader.plan)
    part = source.subset([5, 2]).map_labels(lambda label: "ab"[label])
    assert (part.primary, part.label_name, part.classes) == ("images", "label", ("a", "b"))
    assert part.renumber(["b", "a"]).labels.tolist() == [0, 1]
    assert bs.chain([source, source]).primary == "images"


def test_pairs_are_mixed_under_their_names(tmp_path, values):
    with bs.Loader(
        npz(tmp_path, values), batch_size=16, memory="64 MiB", transforms=[bs.Scale(1 / 255), bs.MixUp(0.4)]
    ) as loader:
        batch = next(iter(loader))
        assert batch["label"].shape == (16, 2)
        assert np.allclose(batch["label"].sum(axis=1), 1)
        del batch


def test_a_function_gets_the_fields_it_names(tmp_path, values):
    source = npz(tmp_path, values)
    with bs.Loader(
        source, batch_size=16, memory="64 MiB", transforms=[bs.Map(lambda x: x[:4], fields=("images",))]
    ) as loader:
        assert next(iter(loader))["images"].shape == (16, 4, 8, 3)
    with pytest.raises(BadSetting, match="images"):
        bs.Loader(source, batch_size=16, memory="64 MiB", transforms=[bs.Map(lambda x: x)])


def test_statistics_and_check_look_at_the_images(tmp_path, values):
    source = npz(tmp_path, values)
    assert np.allclose(bs.statistics(source, "64 MiB").mean, values["images"].mean(axis=(0, 1, 2)))
    assert bs.statistics(source, "64 MiB").classes == {"0": 30, "1": 30}
    assert bs.check(source, memory="64 MiB").well


def test_keras_gets_the_images_and_the_labels_or_what_is_named(tmp_path, values):
    keras = pytest.importorskip("keras")
    with bs.Loader(npz(tmp_path, values), batch_size=16, memory="64 MiB", transforms=[bs.Scale(1 / 255)]) as loader:
        x, y = bs.to_keras(loader)[0]
        assert (tuple(x.shape), tuple(y.shape)) == ((16, 8, 8, 3), (16,))
        del x, y
        named = bs.to_keras(loader, inputs=["images", "depth"], targets="label")
        images, depth = keras.Input((8, 8, 3)), keras.Input((2,))
        both = keras.layers.Concatenate()([keras.layers.Flatten()(images), depth])
        model = keras.Model([images, depth], keras.layers.Dense(2)(both))
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        assert len(model.fit(named, epochs=1, verbose=0).history["loss"]) == 1
        with pytest.raises(BadSetting, match="has no field 'x': its fields are depth, images, label"):
            bs.to_keras(loader, inputs="x")


def test_estimators_learn_from_the_images(tmp_path, values):
    linear = pytest.importorskip("sklearn.linear_model")
    with bs.Loader(npz(tmp_path, values), batch_size=16, memory="64 MiB", dtype="float32", shuffle=False) as loader:
        model = bs.sklearn.partial_fit(linear.SGDClassifier(), loader)
        assert model.coef_.shape == (1, 8 * 8 * 3)
        assert len(bs.sklearn.predict(model, loader)) == ROWS


def test_two_kinds_of_images_must_be_told_apart(tmp_path, values):
    source = bs.zip(left=parquet(tmp_path, values), right=npz(tmp_path, values))
    assert source.primary == "left_images"
    with bs.Loader(source, batch_size=8, memory="64 MiB") as loader:
        batch = next(iter(loader))
        assert np.array_equal(batch["left_images"], batch["right_images"])
        del batch
