"""Models from a file of the user's: what a function may take and return, and what is said where it does not."""

import pytest

import bitesize as bs
from bitesize.training.backend import choose_backend

try:
    choose_backend()
except bs.MissingPackage as error:
    pytest.skip(str(error), allow_module_level=True)

from bitesize.errors import BadSetting, NotFound, WrongModel
from bitesize.training.models import build_model

LAYERS = "keras.Sequential([keras.layers.Flatten(), keras.layers.Dense({})])"


@pytest.fixture
def file(tmp_path):
    def write(text, name="net.py"):
        (tmp_path / name).write_text("import keras\n" + text)
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize(
    "text",
    [
        f"def make(): return {LAYERS.format(2)}",
        f"def make(shape, classes): return {LAYERS.format('classes')}",
        f"def make(input_shape, num_classes=7): return {LAYERS.format('num_classes')}",
        f"def make(classes): return {LAYERS.format('classes')}",
        f"def make(units=2): return {LAYERS.format('units')}",
        f"make = {LAYERS.format(2)}",
        f"from os.path import join\ndef _other(): pass\nmake = {LAYERS.format(2)}",
        f"def other(): pass\ndef make(): return {LAYERS.format(2)}",
    ],
)
def test_functions_and_ready_models_are_taken(text, file):
    path = file(text)
    for name in (path, f"{path}:make"):
        assert build_model(name, (4, 4, 3), 2).output_shape == (None, 2)


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("def make(): pass", WrongModel, "returned nothing"),
        ("def make(): return 3", WrongModel, "returned int, which is no Keras model"),
        ("def make(width, depth, heads): return 3", BadSetting, r"make\(width, depth, heads\) takes other arguments"),
        ("def make(): return 1 / 0", WrongModel, "line 2: ZeroDivisionError: division by zero"),
        ("def make(:", WrongModel, "cannot be imported: line 2: SyntaxError"),
        ("import nowhere_at_all", WrongModel, "cannot be imported: line 2: ModuleNotFoundError"),
        ("def one(): pass\ndef two(): pass", BadSetting, r"several functions \(one, two\): name one"),
        ("x = 1", BadSetting, "has no function"),
        (
            f"def make(): return {LAYERS.format(3)}",
            WrongModel,
            r"2 classes need \(None, 2\): end it in keras.layers.Dense\(2\)",
        ),
    ],
)
def test_what_is_no_model_is_said(text, error, says, file):
    with pytest.raises(error, match=says):
        build_model(file(text), (4, 4, 3), 2)


@pytest.mark.parametrize("loss", ["'categorical_crossentropy'", "keras.losses.MeanSquaredError()", "'binary_crossentropy'"])
def test_a_model_that_comes_compiled_needs_a_loss_for_class_numbers(loss, file):
    with pytest.raises(WrongModel, match="labels are class numbers: compile it with sparse_categorical_crossentropy"):
        build_model(file(f"m = {LAYERS.format(2)}\nm.compile('sgd', {loss})"), (4, 4, 3), 2)


@pytest.mark.parametrize(
    "loss",
    [
        "'sparse_categorical_crossentropy'",
        "keras.losses.SparseCategoricalCrossentropy(from_logits=True)",
        "lambda y, out: keras.ops.mean(out)",
    ],
)
def test_a_model_that_comes_compiled_stays_so(loss, file):
    assert build_model(file(f"m = {LAYERS.format(2)}\nm.compile('sgd', {loss})"), (4, 4, 3), 2).compiled


def test_a_module_of_torch_is_refused_in_the_same_words_everywhere(file):
    torch = pytest.importorskip("torch")
    with (
        bs.Loader(bs.open([[1.0]], [0]), batch_size=1, memory="16 MiB", threads=1) as loader,
        pytest.raises(WrongModel, match="the model is a PyTorch module, and bitesize trains Keras models"),
    ):
        bs.fit(torch.nn.Linear(1, 2), loader, epochs=1)
    path = file("import torch\ndef make(): return torch.nn.Linear(3, 2)")
    with pytest.raises(WrongModel, match="returned a PyTorch module, and bitesize trains Keras models"):
        build_model(path, (3,), 2)


def test_names_that_are_not_there_are_guessed(file):
    for name, meant in (("resnet", "ResNet50"), ("vgg", "VGG16"), ("mobilenetv2", "MobileNetV2"), ("mpl", "mlp")):
        with pytest.raises(BadSetting, match=f"unknown model '{name}'; did you mean {meant}\\?") as raised:
            build_model(name, (32, 32, 3), 2)
        assert len(str(raised.value)) < 250
    with pytest.raises(NotFound, match="does not exist"):
        build_model("nowhere.py:make", (4,), 2)
    with pytest.raises(BadSetting, match=r"no function 'nothing'; its functions and models: make"):
        build_model(file("def make(): pass") + ":nothing", (4,), 2)
