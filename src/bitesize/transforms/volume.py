"""VolumeView: the view of one volume, with a depth beside height and width."""

from __future__ import annotations

from bitesize.transforms.view import View


class VolumeView(View):
    """View of one volume: slices along the depth, each of which is an image with the same view.

    Attributes
    ----------
    depth : float
        Number of slices of the output so far; at first that of the source.
    z_step, z_start : float
        Map from output to source slices: ``z' = z_step z + z_start``. Slice 0 covers 0 to 1.
    """

    __slots__ = ("depth", "z_start", "z_step")

    def __init__(self, depth: float, width: float, height: float, whole: float = 255.0) -> None:
        super().__init__(width, height, whole)
        self.depth, self.z_step, self.z_start = depth, 1.0, 0.0

    def rescale_depth(self, depth: int) -> None:
        """Change the number of slices; what they show stays."""
        self.z_step *= self.depth / depth
        self.depth = depth

    def crop_depth(self, front: float, depth: float) -> None:
        """Show only some slices; they may reach beyond the volume."""
        self.z_start += self.z_step * front
        self.depth = depth

    def mirror_depth(self) -> None:
        """Flip front and back."""
        self.z_start += self.z_step * self.depth
        self.z_step = -self.z_step
