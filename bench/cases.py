"""What is measured: the data, the result that every loader must make of it, and who takes part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import data

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Case:
    """One comparison.

    Parameters
    ----------
    title
        For people.
    data
        Name of the data set, and what makes it.
    peers
        Who takes part: module:function, by the name that is shown. The first is what the others are compared with.
    bars
        What is hoped for: (peer, least ratio of the first to it), or of another peer to it.
    batch
        Rows a batch.
    unit
        ``"rows/s"``, or ``"s"`` where less is better.
    memory
        Whether the peak memory of the processes is compared, too: the first is to hold no more than each other.
    options
        What the peers need to know besides.
    """

    title: str
    data: tuple[str, Callable[[Path], None]]
    peers: dict[str, str]
    bars: tuple[tuple[str, str, float], ...] = ()
    batch: int = 64
    unit: str = "rows/s"
    memory: bool = False
    options: tuple[tuple[str, Any], ...] = ()

    def folder(self, root: Path) -> Path:
        """Make the data, unless it is there."""
        return data.made(root, *self.data)

    def __getitem__(self, name: str) -> Any:
        return dict(self.options)[name]


_PHOTOGRAPHS = ("photographs", data.photographs)
_PIXELS = ("pixels", data.one_npy(6000, (256, 256, 3), "uint8"))
_CROPPED: tuple[tuple[str, Any], ...] = (("side", 256), ("size", 224))
_OURS = "bitesize_peer"

CASES = {
    "jpeg": Case(
        "JPEG folder, about 500 x 375, to 224 x 224, antialiased, float32, normalized",
        _PHOTOGRAPHS,
        {
            "bitesize": f"{_OURS}:images",
            "bitesize, fast_decode=False": f"{_OURS}:images_exactly",
            "bound: read and decode": "bound:jpeg",
            "naive loop, PIL": "naive:jpeg",
            "torch DataLoader, PIL": "torch_peer:jpeg_pil",
            "torch DataLoader, OpenCV": "torch_peer:jpeg_opencv",
            "torch DataLoader, native": "torch_peer:jpeg_native",
            "Keras image_dataset_from_directory": "keras_peer:jpeg",
            "tf.data": "tensorflow_peer:jpeg",
            "Grain, OpenCV": "grain_peer:jpeg",
            "WebDataset": "webdataset_peer:jpeg",
        },
        (
            ("bitesize", "bound: read and decode", 0.74),
            ("bitesize", "torch DataLoader, PIL", 1.7),
            ("bitesize", "torch DataLoader, native", 1.7),
            ("bitesize", "tf.data", 1.7),
            ("bitesize", "Grain, OpenCV", 1.7),
            ("bitesize", "torch DataLoader, OpenCV", 1.2),
            ("bitesize", "Keras image_dataset_from_directory", 1.2),
            ("bitesize", "WebDataset", 1.2),
        ),
        options=(("size", 224),),
    ),
    "jpeg-augmented": Case(
        "the same with RandomResizedCrop and Flip, against plain",
        _PHOTOGRAPHS,
        {"bitesize, augmented": f"{_OURS}:images_augmented", "bitesize, plain": f"{_OURS}:images"},
        (("bitesize, augmented", "bitesize, plain", 0.95),),
        options=(("size", 224),),
    ),
    "jpeg-threads": Case(
        "the same with two threads and with one",
        _PHOTOGRAPHS,
        {"two threads": f"{_OURS}:images", "one thread": f"{_OURS}:images_one_thread"},
        (("two threads", "one thread", 1.85),),
        options=(("size", 224),),
    ),
    "cache": Case(
        "photographs to 224 from a cache of the first epoch, against decoding them",
        _PHOTOGRAPHS,
        {
            "from the cache": f"{_OURS}:images_cached",
            "from a cache of 8-bit pixels": f"{_OURS}:images_cached_pixels",
            "the first epoch, which fills it": f"{_OURS}:images_filling",
            "a first epoch without a cache": f"{_OURS}:images_first",
            "without a cache": f"{_OURS}:images",
        },
        (
            ("from the cache", "the first epoch, which fills it", 8.0),
            ("from a cache of 8-bit pixels", "the first epoch, which fills it", 8.0),
            ("the first epoch, which fills it", "a first epoch without a cache", 0.9),
        ),
        options=(("size", 224),),
    ),
    "cache-augmented": Case(
        "photographs with RandomResizedCrop and Flip from a cache of images reduced to 256 pixels, against decoding them",
        _PHOTOGRAPHS,
        {
            "from the cache": f"{_OURS}:images_augmented_cached",
            "the first epoch, which fills it": f"{_OURS}:images_augmented_filling",
            "a first epoch, reduced to 256 pixels, without a cache": f"{_OURS}:images_augmented_first",
            "without a cache": f"{_OURS}:images_augmented",
        },
        (
            ("from the cache", "the first epoch, which fills it", 6.0),
            ("the first epoch, which fills it", "a first epoch, reduced to 256 pixels, without a cache", 0.9),
        ),
        options=(("size", 224),),
    ),
    "jpeg-12mp": Case(
        "JPEGs of 12 megapixels to 224 x 224",
        ("large_photographs", data.large_photographs),
        {
            "bitesize": f"{_OURS}:images",
            "bitesize, fast_decode=False": f"{_OURS}:images_exactly",
            "torch DataLoader, PIL": "torch_peer:jpeg_pil",
        },
        (("bitesize", "torch DataLoader, PIL", 3.0),),
        batch=16,
        options=(("size", 224),),
    ),
    "png": Case(
        "PNG folder, about 500 x 375, to 224 x 224",
        ("pngs", data.pngs),
        {
            "bitesize": f"{_OURS}:images",
            "bound: read and decode": "bound:png",
            "torch DataLoader, PIL": "torch_peer:jpeg_pil",
        },
        (("bitesize", "bound: read and decode", 0.85),),
        batch=32,
        options=(("size", 224),),
    ),
    "npy-float64": Case(
        "one .npy a row, (224, 224, 3) float64 to float32",
        ("npy_float64", data.npy_files("float64")),
        {
            "bitesize": f"{_OURS}:npy_files",
            "bound: read and cast": "bound:npy_files",
            "naive loop": "naive:npy_files",
            "torch DataLoader": "torch_peer:npy_files",
            "Grain": "grain_peer:npy_files",
        },
        (
            ("bitesize", "torch DataLoader", 8.0),
            ("bitesize", "Grain", 5.0),
            ("bitesize", "bound: read and cast", 0.85),
        ),
        options=(("scale", None), ("dtype", "float64"), ("shape", (224, 224, 3))),
    ),
    "npy-uint8": Case(
        "one .npy a row, (224, 224, 3) uint8 to float32, scaled",
        ("npy_uint8", data.npy_files("uint8")),
        {
            "bitesize": f"{_OURS}:npy_files",
            "bound: read and cast": "bound:npy_files",
            "naive loop": "naive:npy_files",
            "torch DataLoader": "torch_peer:npy_files",
            "Grain": "grain_peer:npy_files",
        },
        (("bitesize", "torch DataLoader", 8.0),),
        options=(("scale", 1 / 255), ("dtype", "uint8"), ("shape", (224, 224, 3))),
    ),
    "large-npy": Case(
        "one large .npy, (224, 224, 3) uint8 to float32, scaled, shuffled",
        ("large_npy", data.one_npy(12_000, (224, 224, 3), "uint8")),
        {
            "bitesize": f"{_OURS}:one_npy",
            "bound: read and cast": "bound:one_npy",
            "np.memmap indexing": "naive:memmap",
            "torch DataLoader over np.memmap": "torch_peer:memmap",
        },
        (
            ("bitesize", "np.memmap indexing", 3.5),
            ("bitesize", "torch DataLoader over np.memmap", 15.0),
            ("bitesize", "bound: read and cast", 0.85),
        ),
        options=(("scale", 1 / 255), ("dtype", "uint8"), ("shape", (224, 224, 3))),
    ),
    "npy-random-crop": Case(
        "one large .npy, (256, 256, 3) uint8, RandomResizedCrop to 224, Flip, normalized",
        _PIXELS,
        {"bitesize": f"{_OURS}:random_crop", "FFCV": "ffcv_peer:random_crop"},
        (("bitesize", "FFCV", 3.0),),
        options=_CROPPED,
    ),
    "npy-center-crop": Case(
        "the same, CenterCrop to 224, normalized",
        _PIXELS,
        {
            "bitesize": f"{_OURS}:center_crop",
            "FFCV": "ffcv_peer:center_crop",
            "np.memmap indexing": "naive:memmap_center_crop",
        },
        (("bitesize", "FFCV", 1.6),),
        options=_CROPPED,
    ),
    "npy-resize": Case(
        "the same, Resize to 224, normalized",
        _PIXELS,
        {"bitesize": f"{_OURS}:resize", "FFCV": "ffcv_peer:resize"},
        options=_CROPPED,
    ),
    "small-rows": Case(
        "small rows: (32, 32, 3) uint8 from one .npy, or in memory with labels, scaled",
        ("small_rows", data.one_npy(200_000, (32, 32, 3), "uint8")),
        {
            "bitesize": f"{_OURS}:one_npy",
            "np.memmap indexing": "naive:memmap",
            "bitesize, array in memory": f"{_OURS}:array",
            "NumPy indexing": "naive:array",
            "bitesize, read in each epoch": f"{_OURS}:one_npy_read",
            "bound: read and cast": "bound:one_npy",
        },
        (
            ("bitesize", "np.memmap indexing", 1.0),
            ("bitesize, array in memory", "NumPy indexing", 1.0),
            ("bitesize, read in each epoch", "bound: read and cast", 0.8),
        ),
        batch=256,
        options=(("scale", 1 / 255), ("dtype", "uint8"), ("shape", (32, 32, 3))),
    ),
    "tabular": Case(
        "tabular rows: (100,) float32 from one .npy, or in memory with labels",
        ("tabular", data.one_npy(500_000, (100,), "float32")),
        {
            "bitesize": f"{_OURS}:one_npy",
            "np.memmap indexing": "naive:memmap",
            "bitesize, array in memory": f"{_OURS}:array",
            "NumPy indexing": "naive:array",
            "bitesize, read in each epoch": f"{_OURS}:one_npy_read",
            "bound: read": "bound:one_npy",
        },
        (
            ("bitesize", "np.memmap indexing", 1.0),
            ("bitesize, array in memory", "NumPy indexing", 1.0),
            ("bitesize, read in each epoch", "bound: read", 0.8),
        ),
        batch=1024,
        options=(("scale", None), ("dtype", "float32"), ("shape", (100,))),
    ),
    "cold": Case(
        "JPEG folder after dropping the system's cache: files as they are, against plain readers",
        ("npy_uint8", data.npy_files("uint8")),
        {
            "bitesize": f"{_OURS}:cold",
            "1 reader": "bound:cold_1",
            "2 readers": "bound:cold_2",
            "4 readers": "bound:cold_4",
            "8 readers": "bound:cold_8",
            "16 readers": "bound:cold_16",
        },
        (("bitesize", "16 readers", 0.85), ("bitesize", "8 readers", 0.85), ("bitesize", "4 readers", 0.85)),
        options=(("scale", 1 / 255), ("dtype", "uint8"), ("shape", (224, 224, 3))),
    ),
    "busy-consumer": Case(
        "JPEG folder beside a thread of pure Python that never pauses, one loading thread idle for comparison",
        _PHOTOGRAPHS,
        {
            "beside a busy thread": f"{_OURS}:images_busy",
            "the same, setswitchinterval(0.0005)": f"{_OURS}:images_busy_switching",
            "one thread, nobody beside": f"{_OURS}:images_one_thread",
        },
        (
            ("beside a busy thread", "one thread, nobody beside", 0.5),
            ("the same, setswitchinterval(0.0005)", "one thread, nobody beside", 0.5),
        ),
        options=(("size", 224),),
    ),
    "first-batch": Case(
        "the first batch of 64 from 25,000 small JPEGs, after Loader(...) with kernels loaded, and from a fresh python",
        ("small_files", data.small_files(25_000)),
        {
            "kernels loaded": f"{_OURS}:first_batch",
            "time of one batch at the steady rate": f"{_OURS}:steady_batch",
            "a fresh python": f"{_OURS}:first_batch_fresh",
        },
        unit="s",
        options=(("size", 64),),
    ),
    "open-million": Case(
        "bs.open of 1,200,000 files in 1,000 folders",
        ("empty_files", data.empty_files),
        {"bitesize": f"{_OURS}:open_million"},
        unit="s",
    ),
    "jpeg-outputs": Case(
        "the JPEG folder through each output, against a plain loop over the same loader",
        _PHOTOGRAPHS,
        {
            "a plain loop": "outputs_peer:loop",
            "torch": "outputs_peer:torch",
            "scikit-learn": "outputs_peer:sklearn",
            "JAX": "outputs_peer:jax",
            "Keras": "outputs_peer:keras",
            "TensorFlow": "outputs_peer:tensorflow",
            "torch's own: DataLoader, PIL": "torch_peer:jpeg_pil",
            "scikit-learn's own: naive loop, PIL": "naive:jpeg",
            "JAX's own: Grain, OpenCV": "grain_peer:jpeg",
            "Keras's own: image_dataset_from_directory": "keras_peer:jpeg",
            "TensorFlow's own: tf.data": "tensorflow_peer:jpeg",
        },
        (
            ("torch", "a plain loop", 0.97),
            ("scikit-learn", "a plain loop", 0.97),
            ("JAX", "a plain loop", 0.9),
            ("Keras", "a plain loop", 0.85),
            ("TensorFlow", "a plain loop", 0.85),
            ("torch", "torch's own: DataLoader, PIL", 1.7),
            ("scikit-learn", "scikit-learn's own: naive loop, PIL", 1.7),
            ("JAX", "JAX's own: Grain, OpenCV", 1.7),
            ("Keras", "Keras's own: image_dataset_from_directory", 1.2),
            ("TensorFlow", "TensorFlow's own: tf.data", 1.7),
        ),
        options=(("size", 224),),
    ),
    "large-npy-outputs": Case(
        "one large uint8 .npy through each output; Keras and TensorFlow also fed with one batch that stays in memory",
        ("large_npy", data.one_npy(12_000, (224, 224, 3), "uint8")),
        {
            "a plain loop": "outputs_peer:loop",
            "torch": "outputs_peer:torch",
            "scikit-learn": "outputs_peer:sklearn",
            "JAX": "outputs_peer:jax",
            "Keras": "outputs_peer:keras",
            "Keras, one batch": "outputs_peer:keras_resident",
            "TensorFlow": "outputs_peer:tensorflow",
            "TensorFlow, one batch": "outputs_peer:tensorflow_resident",
            "torch's own: DataLoader over np.memmap": "torch_peer:memmap",
            "scikit-learn's own: np.memmap indexing": "naive:memmap",
            "JAX's own: Grain over np.memmap": "grain_peer:memmap",
            "Keras's own: PyDataset over np.memmap": "outputs_peer:keras_memmap",
            "TensorFlow's own: tf.data over np.memmap": "tensorflow_peer:memmap",
        },
        (
            ("torch", "a plain loop", 0.85),
            ("scikit-learn", "a plain loop", 0.85),
            ("JAX", "a plain loop", 0.85),
            ("Keras", "Keras, one batch", 0.85),
            ("TensorFlow", "TensorFlow, one batch", 0.85),
            ("torch", "torch's own: DataLoader over np.memmap", 1.0),
            ("scikit-learn", "scikit-learn's own: np.memmap indexing", 1.0),
            ("JAX", "JAX's own: Grain over np.memmap", 1.0),
            ("Keras", "Keras's own: PyDataset over np.memmap", 1.0),
            ("TensorFlow", "TensorFlow's own: tf.data over np.memmap", 1.0),
        ),
        options=(("scale", 1 / 255), ("dtype", "uint8"), ("shape", (224, 224, 3))),
    ),
    "keras-fit": Case(
        "an epoch of Keras fit (torch backend, the default model, 64 x 64): from one uint8 .npy, against float32 in memory",
        ("keras_rows", data.one_npy(1000, (64, 64, 3), "uint8")),
        {"bitesize": "keras_peer:fit_ours", "float32 in memory": "keras_peer:fit_in_memory"},
        (("bitesize", "float32 in memory", 1 / 1.05),),
        unit="s",
        batch=32,
    ),
    "pack": Case(
        "packing the JPEG folder into a store, against a copy of it; all flushed to the disk",
        _PHOTOGRAPHS,
        {"bytes": "pack_peer:as_bytes", "cp -r, fsync": "pack_peer:copied", "pixels, Resize(256)": "pack_peer:as_pixels"},
        (("bytes", "cp -r, fsync", 0.8),),
    ),
    "packed": Case(
        "RandomResizedCrop and Flip to 224 x 224, from packed stores, against the JPEG folder",
        _PHOTOGRAPHS,
        {
            "packed pixels, Resize(256)": "pack_peer:from_pixels",
            "packed pixels, max_side=256": "pack_peer:from_varying_pixels",
            "packed bytes": "pack_peer:from_bytes",
            "JPEG folder": "pack_peer:from_files",
        },
        (("packed bytes", "JPEG folder", 0.95),),
        options=(("size", 224),),
    ),
    **{
        f"tutorial-{backend}-{cores}": Case(
            f"the tutorial's training on {backend}, {cores} core{'s' * (cores > 1)}: photographs to 224 x 224, Dense(128)",
            _PHOTOGRAPHS,
            {"bitesize, fit": "tutorial:ours", "naive loop, PIL": "tutorial:naive"},
            (("bitesize, fit", "naive loop, PIL", 1 / 0.85),),
            batch=32,
            memory=True,
            options=(("size", 224), ("backend", backend), ("cores", cores)),
        )
        for backend in ("tensorflow", "jax", "torch")
        for cores in (1, 2)
    },
    **{
        f"chunks-{name}": Case(
            f"{title}: 6,000 pictures of (128, 128, 3) uint8 in compressed chunks, shuffled, against its own loop in order",
            (f"chunked_{name}", data.chunked(name)),
            {
                "bitesize, shuffled": "chunked_peer:ours",
                f"{package}, in order": f"chunked_peer:{package}_loop",
                "bitesize, in order": "chunked_peer:ours_in_order",
            },
            (("bitesize, shuffled", f"{package}, in order", 0.7),),
            options=(("file", file), ("shape", (128, 128, 3))),
        )
        for name, title, package, file in (
            ("hdf5", "HDF5", "h5py", "data.h5"),
            ("zarr", "Zarr", "zarr", "data.zarr"),
            ("parquet", "Parquet", "pyarrow", "data.parquet"),
        )
    },
}
