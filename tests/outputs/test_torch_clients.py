"""Programs of PyTorch's world run on a loader with a line or two changed: loops that unpack, collectors of labels, trainers."""

import itertools

import numpy as np
import pytest

import bitesize as bs
from bitesize.engine.loader import driver_of

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.framework, pytest.mark.filterwarnings("ignore")]  # PyTorch's, about itself

ROWS = 90


def make_loader(**settings):
    y = np.arange(ROWS) % 2
    x = (np.random.default_rng(0).normal(size=(ROWS, 8, 8, 3)) + y[:, None, None, None]).astype(np.float32)
    settings = {"batch_size": 8, "memory": "16 MiB", "threads": 1} | settings
    source = bs.open(x, y)
    if weights := settings.pop("weights", False):
        source = bs.zip(source, w=bs.open(np.arange(ROWS, dtype=np.float32)))
        source.weight_name = "w" if weights else None
    return bs.Loader(source, **settings)


def make_model():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 2),
    )


def test_a_loop_that_unpacks_images_and_target_learns():
    model, criterion = make_model(), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with make_loader() as loader:
        train_loader = bs.to_torch(loader, as_tuple=True)
        for _ in range(4):
            right = seen = 0
            for i, (images, target) in enumerate(train_loader):
                output = model(images)
                loss = criterion(output, target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                right += int((output.argmax(1) == target).sum())
                seen += len(target)
            assert (i + 1, seen) == (len(train_loader), ROWS)
        assert right / seen > 0.8
        for data in (
            torch.utils.data.DataLoader(train_loader, batch_size=None),
            torch.utils.data.DataLoader(train_loader, batch_size=None, collate_fn=tuple),
        ):
            assert sum(len(target) for images, target in data) == ROWS


def test_a_dict_that_is_unpacked_is_an_error_that_names_as_tuple():
    with make_loader() as loader:
        for batches in (bs.to_torch(loader), torch.utils.data.DataLoader(bs.to_torch(loader), batch_size=None)):
            with pytest.raises(bs.BadSetting, match="as_tuple=True"):
                for images, target in batches:
                    del images, target


def test_update_bn_takes_tuples():
    model = make_model()
    with make_loader() as loader:
        torch.optim.swa_utils.update_bn(bs.to_torch(loader, as_tuple=True), model)
        whole = torch.cat([batch["x"].clone() for batch in bs.to_torch(loader)])
    mean = model[0](whole).mean(dim=(0, 2, 3))
    assert torch.allclose(model[1].running_mean, mean, atol=0.05)


def test_update_bn_of_dicts_is_an_error_that_names_as_tuple():
    with make_loader() as loader:
        dicts = bs.to_torch(loader)
        for batches in (dicts, torch.utils.data.DataLoader(dicts, batch_size=None)):
            with pytest.raises(bs.BadSetting, match=r"update_bn .*bs\.to_torch\(loader, as_tuple=True\)"):
                torch.optim.swa_utils.update_bn(batches, make_model())


def test_what_stands_in_a_tuple():
    with make_loader(weights=True) as loader:
        x, y, w = next(iter(bs.to_torch(loader, as_tuple=True)))
        assert (x.shape, y.dtype, w.dtype) == ((8, 3, 8, 8), torch.int64, torch.float32)
        assert (w.long() % 2 == y).all()
        w, x = next(iter(bs.to_torch(loader, as_tuple=["w", "x"])))
        assert (w.shape, x.shape) == ((8,), (8, 3, 8, 8))
        for wrong, said in (
            (["x", "z"], "no field 'z'"),
            ("x", "names of fields"),
            ([], "names of fields"),
            (2, "names of fields"),
        ):
            with pytest.raises(bs.BadSetting, match=said):
                bs.to_torch(loader, as_tuple=wrong)
    with bs.Loader(bs.open(np.zeros((10, 4))), batch_size=5, memory="16 MiB") as loader:
        (x,) = next(iter(bs.to_torch(loader, as_tuple=True)))
        assert x.shape == (5, 4)


def test_rows_that_are_none_are_left_out_of_tuples():
    with make_loader(last="pad", shuffle=False) as loader:
        sizes = [(len(x), len(y)) for x, y in bs.to_torch(loader, as_tuple=True)]
    assert sizes == [(8, 8)] * 11 + [(2, 2)]


def test_uneven_ranks_are_said_where_tuples_have_no_weight(caplog):
    with make_loader(shard=bs.Shard(0, 2), batch_size=9) as loader:
        bs.to_torch(loader, as_tuple=True)
    assert "tuples have no batch.weight" in caplog.text


def test_copies_of_batches_of_tensors_own_their_memory():
    with make_loader() as loader:
        kept = [batch.copy() for batch in bs.to_torch(loader)]
        clones = [x.clone() for x, y in bs.to_torch(loader, as_tuple=True)]
        assert [type(batch) for batch in kept] == [bs.Batch] * 12
        assert kept[0]["x"].is_contiguous(memory_format=torch.channels_last)
        assert sorted(itertools.chain.from_iterable(batch.rows.tolist() for batch in kept)) == list(range(ROWS))
        assert sum(map(len, clones)) == ROWS


def test_a_dataloader_copies_no_memory_on_its_way():
    with make_loader() as loader:
        slots = [(slot.memory.ctypes.data, slot.memory.nbytes) for slot in driver_of(loader)._resources.ring.slots]
        for batch in torch.utils.data.DataLoader(bs.to_torch(loader), batch_size=None):
            assert any(start <= batch["x"].data_ptr() < start + nbytes for start, nbytes in slots)
            assert len(batch.rows) == len(batch["y"])


def test_labels_of_whole_epochs_can_be_kept():
    with make_loader() as loader:
        all_y = [batch["y"] for _ in range(2) for batch in bs.to_torch(loader)]
        assert torch.cat(all_y).bincount().tolist() == [ROWS, ROWS]
        preds = [(torch.rand(len(y)), y) for x, y in bs.to_torch(loader, as_tuple=True)]  # as get_preds of fastai does
        assert torch.cat([y for _, y in preds]).bincount().tolist() == [ROWS // 2] * 2


def test_metrics_that_keep_what_they_are_given_count_every_row():
    torchmetrics = pytest.importorskip("torchmetrics")
    area, confusion = torchmetrics.classification.BinaryAUROC(), torchmetrics.classification.BinaryConfusionMatrix()
    with make_loader() as loader:
        for batch in bs.to_torch(loader):
            area.update(batch["y"].float() * 0.5 + 0.25, batch["y"])
            confusion.update(batch["y"], batch["y"])
    assert float(area.compute()) == 1.0
    assert confusion.compute().tolist() == [[ROWS // 2, 0], [0, ROWS // 2]]


def test_a_dataloader_that_would_collect_batches_of_batches_names_batch_size_none():
    def collate(batches):
        return batches

    with make_loader() as loader:
        data = bs.to_torch(loader)
        for wrong in (torch.utils.data.DataLoader(data, batch_size=32), torch.utils.data.DataLoader(data)):
            with pytest.raises(bs.BadSetting, match="make it with batch_size=None"):
                next(iter(wrong))
        with pytest.raises(bs.BatchesHeld, match="make it with batch_size=None"):
            next(iter(torch.utils.data.DataLoader(data, batch_size=4, collate_fn=collate)))
        one = torch.utils.data.DataLoader(data, batch_size=1, collate_fn=collate)  # whose author knows that they are batches
        assert sum(len(batches[0]["y"]) for batches in one) == ROWS


def test_loops_beside_each_other_end_the_older_one_and_lists_say_what_copies():
    with make_loader() as loader:
        batches = bs.to_torch(loader)
        older = iter(batches)
        next(older)
        next(iter(batches))
        with pytest.raises(bs.LoaderClosed, match="newer"):
            next(older)
        with pytest.raises(bs.BatchesHeld, match=r"batch\.copy\(\).*clone\(\)"):
            list(batches)
        with pytest.raises(bs.BatchesHeld, match=r"Keep copies, x\.clone\(\)"):
            list(bs.to_torch(loader, as_tuple=True))
        with pytest.raises(bs.BatchesHeld):  # cycle keeps what it repeats
            list(itertools.islice(itertools.cycle(batches), 20))
        losses = [make_model()(batch["x"]).mean() for batch, _ in zip(batches, range(2), strict=False)]
        sum(losses).backward()


def test_a_trainer_of_transformers_takes_a_dataloader_of_batches_and_says_so_where_it_is_given_the_dataset(tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = make_model()

        def forward(self, x, y):
            logits = self.inner(x)
            return {"loss": torch.nn.functional.cross_entropy(logits, y), "logits": logits}

    settings = {"use_cpu": True, "report_to": [], "max_steps": 24, "remove_unused_columns": False, "label_names": ["y"]}
    arguments = transformers.TrainingArguments(str(tmp_path), save_strategy="no", disable_tqdm=True, **settings)
    with make_loader() as loader, make_loader(shuffle=False) as val_loader:
        with pytest.raises(bs.BadSetting, match=r"get_train_dataloader.*batch_size=None"):
            transformers.Trainer(Model(), arguments, train_dataset=bs.to_torch(loader)).train()

        class Trainer(transformers.Trainer):
            def get_train_dataloader(self):
                return torch.utils.data.DataLoader(bs.to_torch(loader), batch_size=None)

            def get_eval_dataloader(self, dataset=None):
                return torch.utils.data.DataLoader(bs.to_torch(val_loader), batch_size=None)

        trainer = Trainer(Model(), arguments, compute_metrics=lambda seen: {"rows": len(seen.label_ids)})
        assert trainer.train().global_step == 24
        found = trainer.evaluate()
        assert found["eval_rows"] == ROWS
