"""torchvision beside a torch without CUDA."""


def import_v2():
    """Import `torchvision.transforms.v2`, or raise ImportError.

    The wheels of PyPI are built for CUDA; beside a torch for the processor alone their operators cannot be loaded, and the
    import fails where it describes them. Transforms use none of them, so naming them is enough.
    """
    import torch

    signatures = {}
    while True:
        try:
            from torchvision.transforms import v2
        except RuntimeError as error:
            name = str(error).split("operator ")[-1].split(" ")[0]
            if not name.startswith("torchvision::") or name in signatures:
                raise ImportError(f"torchvision cannot be imported: {error}") from error
            signatures[name] = True
            torch.library.define(name, "(Tensor x) -> Tensor")
        else:
            return v2
