"""Rows that are volumes, and their masks: cropped, flipped, turned or resized into the slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitesize.kernels.warm import Job
from bitesize.pipeline.arrays import ArrayRenderer
from bitesize.spec import Field
from bitesize.transforms.render_volume import (
    Shape,
    VolumeCanvas,
    mask_volume_canvas,
    most_volume_values,
    plan_volume,
    render_volume,
    render_volume_mask,
    warm_up_volume,
)
from bitesize.transforms.volume import VolumeView


class VolumeRenderer(ArrayRenderer):
    """Renders volumes into the batch, if transforms move voxels; else casts them like other rows. For parameters, see `ArrayRenderer`."""

    def _make_canvas(self) -> VolumeCanvas:
        return VolumeCanvas(self.rendered.shape, self.rendered.dtype, self._chw, self._limits)

    def _make_mask_canvas(self, field: Field) -> VolumeCanvas:
        return mask_volume_canvas(field.shape, field.dtype)

    def _new_view(self) -> VolumeView:
        depth, height, width = self.stored.shape[:3]
        return VolumeView(depth, width, height, self._full_scale)

    @property
    def _shape(self) -> Shape:
        depth, height, width = self.stored.shape[:3]
        return depth, height, width, self._channels

    def _render_values(self) -> int:
        canvas = self._canvas
        assert isinstance(canvas, VolumeCanvas)
        sides = (canvas.depth, canvas.height, canvas.width)
        masks = most_volume_values((*self._shape[:3], 1), sides, False) if self._masks else 0
        if self._random:
            return max(most_volume_values(self._shape, sides, self._resamples), masks)
        return max(plan_volume(self._adjusted(()), self._shape).scratch, masks)  # type: ignore[arg-type]

    def _warm_rendering(self) -> list[Job]:
        canvas, read, resamples = self._canvas, self.stored.dtype, self._resamples
        assert isinstance(canvas, VolumeCanvas)
        return [(f"volume {read} {canvas.stored} {resamples}", lambda: warm_up_volume(read, canvas, resamples))]

    def _render_images(
        self, rows: Mapping[str, NDArray[Any]], random_numbers: Sequence[Sequence[float]], out: Mapping[str, NDArray[Any]],
        scratch: NDArray[np.float32]
    ) -> None:  # fmt: skip
        canvas = self._canvas
        assert isinstance(canvas, VolumeCanvas)
        volumes = rows[self._name].reshape(-1, *self._shape)
        for i, voxels in enumerate(volumes):
            view = self._adjusted(random_numbers[i])
            assert isinstance(view, VolumeView)
            render_volume(voxels, view, plan_volume(view, self._shape), scratch, canvas, out[self._name][i])
            for name, mask_canvas in self._mask_canvases.items():
                assert isinstance(mask_canvas, VolumeCanvas)
                render_volume_mask(rows[name][i], view, self._mask_fill, scratch, mask_canvas, out[name][i])
