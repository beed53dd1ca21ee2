"""What others expect of a dataset that can go on: torchdata's StatefulDataLoader, and Lightning."""

import importlib.util

import numpy as np
import pytest

import bitesize as bs

pytestmark = [pytest.mark.framework, pytest.mark.filterwarnings("ignore")]  # theirs, about themselves


@pytest.fixture(autouse=True)
def torchvision():
    """Lightning imports torchvision where there is one, which needs help beside a torch without CUDA."""
    if importlib.util.find_spec("torch") and importlib.util.find_spec("torchvision"):
        from tests.transforms.torchvision_here import import_v2

        import_v2()


def make_loader():
    x = np.arange(200, dtype=np.float32).reshape(50, 4)
    return bs.Loader(bs.open(x, np.arange(50)), batch_size=8, memory="16 MiB", seed=2)


def whole(epochs):
    with make_loader() as loader:
        return [batch["y"].tolist() for _ in range(epochs) for batch in loader]


@pytest.mark.parametrize("taken", [1, 4, 7, 9])
def test_torchdatas_loader_goes_on_at_the_next_batch(taken):
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    torch = pytest.importorskip("torch")

    class Batches(torch.utils.data.IterableDataset):
        """A loader as torch wants datasets to be."""

        def __init__(self, loader):
            self.loader = loader
            self.state_dict, self.load_state_dict = loader.state_dict, loader.load_state_dict

        def __iter__(self):
            return ({name: torch.from_numpy(array.copy()) for name, array in batch.items()} for batch in self.loader)

    def batches(loader, state, count):
        """Take so many batches over epochs; give them, and the state behind the last."""
        data = stateful.StatefulDataLoader(Batches(loader), batch_size=None, num_workers=0)
        if state is not None:
            data.load_state_dict(state)
        seen = []
        while True:
            for batch in data:
                seen.append(batch["y"].tolist())
                if len(seen) == count:
                    return seen, data.state_dict()

    with make_loader() as loader:
        first, state = batches(loader, None, taken)
    with make_loader() as loader:
        rest, _ = batches(loader, state, 14 - taken)
    assert first + rest == whole(2)


@pytest.mark.parametrize("steps", [3, 7, 10])
def test_lightning_goes_on_at_the_next_batch(steps, tmp_path):
    lightning = pytest.importorskip("lightning")
    torch = pytest.importorskip("torch")

    class Module(lightning.LightningModule):
        """Notes which rows it is trained on."""

        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)
            self.seen = []

        def training_step(self, batch, index):
            self.seen.append(batch["y"].tolist())
            return self.layer(torch.as_tensor(batch["x"])).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 1e-6)

    def fit(steps, path=None):
        """Train as far as so many steps; give the rows, and save."""
        trainer = lightning.Trainer(
            max_steps=steps,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            callbacks=[lightning.pytorch.callbacks.ModelCheckpoint(tmp_path, filename="last", every_n_train_steps=1)],
        )
        module = Module()
        with make_loader() as loader:
            trainer.fit(module, loader, ckpt_path=path)
        return module.seen

    first = fit(steps)
    rest = fit(14, next(tmp_path.glob("last*.ckpt")))
    assert first + rest == whole(2)
