"""View: the mapping of one row's output pixels to source pixels, and its color transform."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bitesize.errors import BadSetting
from bitesize.kernels.filters import BILINEAR

# The identity of the 3 x 4 color matrix.
PLAIN = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0)
BLACK = (0.0, 0.0, 0.0)

# EXIF orientations 1 to 8 as affine maps from upright to stored pixels: x' = a x + b y + c W + d H with the stored
# width W and height H, and the same for y' (JEITA CP-3451, tag 0x0112).
_ORIENTATIONS = (
    ((1, 0, 0, 0), (0, 1, 0, 0)),
    ((-1, 0, 1, 0), (0, 1, 0, 0)),
    ((-1, 0, 1, 0), (0, -1, 0, 1)),
    ((1, 0, 0, 0), (0, -1, 0, 1)),
    ((0, 1, 0, 0), (1, 0, 0, 0)),
    ((0, 1, 0, 0), (-1, 0, 0, 1)),
    ((0, -1, 1, 0), (-1, 0, 0, 1)),
    ((0, -1, 1, 0), (1, 0, 0, 0)),
)

Color = tuple[float, ...]  # three values, or one a channel of an image of other channels
# left, top, right, bottom in output pixels, and the color there
Erased = tuple[float, float, float, float, Color]


class View:
    """View of one row, which transforms adjust one after another.

    Plain floats in slots: NumPy or frozen dataclasses here would cost more than the pixels do.

    Attributes
    ----------
    width, height : float
        Size of the output so far, in pixels; at first that of the upright source.
    a, b, c, d, e, f : float
        Affine map from output to upright source pixels: ``x' = a x + b y + c``, ``y' = d x + e y + f``. Pixel (0, 0)
        covers 0 to 1 in both directions.
    fill : tuple of 3 float
        The color that the source counts as surrounded by, before `color` is applied; one value a channel beside `gains`.
    erased : tuple of Erased
        Rectangles of the output that show one color instead, which is final.
    color : tuple of 12 float
        A 3 x 4 matrix: ``out = color[:, :3] @ rgb + color[:, 3]``.
    alpha : float
        Factor of a fourth channel.
    gains, offsets : tuple of float, or None
        For images whose channels are no colors, a factor and an offset for each, in place of `color` and `alpha`.
    whole : float
        What full brightness is before the next step: 255 for 8-bit values, 1 for floats, which are not rescaled.
    kind : int
        Interpolation: `BILINEAR`, `BICUBIC` or `NEAREST`.
    bounds : tuple of (tuple of float, tuple of float), or None
        Least and greatest value of each channel of the result, without alpha.
    percentiles : tuple of 2 float, or None
        Percentiles of the source that are to be measured, and to become 0 and 1 before all color; see `stretch`.
    """

    __slots__ = (
        "a", "alpha", "b", "bounds", "c", "color", "d", "e", "erased", "f", "fill", "gains", "height", "kind",
        "offsets", "percentiles", "whole", "width"
    )  # fmt: skip

    def __init__(self, width: float, height: float, whole: float = 255.0) -> None:
        self.width = width
        self.height = height
        self.a, self.b, self.c = 1.0, 0.0, 0.0
        self.d, self.e, self.f = 0.0, 1.0, 0.0
        self.fill: Color = BLACK
        self.erased: tuple[Erased, ...] = ()
        self.color: tuple[float, ...] = PLAIN
        self.alpha = 1.0
        self.bounds: tuple[Color, Color] | None = None
        self.percentiles: tuple[float, float] | None = None
        self.gains: tuple[float, ...] | None = None
        self.offsets: tuple[float, ...] = ()
        self.whole = whole
        self.kind = BILINEAR

    def spread(self, channels: int) -> None:
        """Treat each of so many channels by itself, instead of three as colors and a fourth as alpha."""
        self.gains, self.offsets = (1.0,) * channels, (0.0,) * channels
        self.fill = _each(self.fill, channels)

    # --- geometry ----------------------------------------------------------------------------------------------------

    @property
    def upright(self) -> bool:
        """Return whether lines of the output run along lines or columns of the source."""
        return (self.b == 0.0 and self.d == 0.0) or (self.a == 0.0 and self.e == 0.0)

    def rescale(self, width: int, height: int) -> None:
        """Change the output's size; what it shows stays."""
        x, y = self.width / width, self.height / height
        self.a, self.b, self.d, self.e = self.a * x, self.b * y, self.d * x, self.e * y
        self.width, self.height = width, height
        if self.erased:
            self.erased = tuple((left / x, top / y, right / x, low / y, c) for left, top, right, low, c in self.erased)

    def crop(self, left: float, top: float, width: float, height: float) -> None:
        """Show only a part of the output, in its own pixels; the part may reach beyond it."""
        self.c += self.a * left + self.b * top
        self.f += self.d * left + self.e * top
        self.width, self.height = width, height
        if self.erased:
            self.erased = tuple((x0 - left, y0 - top, x1 - left, y1 - top, c) for x0, y0, x1, y1, c in self.erased)

    def mirror(self) -> None:
        """Flip left and right."""
        self.c += self.a * self.width
        self.f += self.d * self.width
        self.a, self.d = -self.a, -self.d
        if self.erased:
            self.erased = tuple((self.width - x1, y0, self.width - x0, y1, c) for x0, y0, x1, y1, c in self.erased)

    def upend(self) -> None:
        """Flip top and bottom."""
        self.c += self.b * self.height
        self.f += self.e * self.height
        self.b, self.e = -self.b, -self.e
        if self.erased:
            self.erased = tuple((x0, self.height - y1, x1, self.height - y0, c) for x0, y0, x1, y1, c in self.erased)

    def transpose(self) -> None:
        """Swap lines and columns."""
        self.a, self.b, self.d, self.e = self.b, self.a, self.e, self.d
        self.width, self.height = self.height, self.width
        if self.erased:
            self.erased = tuple((y0, x0, y1, x1, c) for x0, y0, x1, y1, c in self.erased)

    def turn(self, quarters: int) -> None:
        """Turn counter-clockwise by quarters of a circle."""
        quarters %= 4
        if quarters % 2:
            self.transpose()
        if quarters in (1, 2):
            self.upend()
        if quarters in (2, 3):
            self.mirror()

    def bend(self, xx: float, xy: float, yx: float, yy: float) -> None:
        """Move every point about the center: what was at (x, y) from there comes to (xx x + xy y, yx x + yy y)."""
        determinant = xx * yy - xy * yx
        # The view maps output to source, so the inverse goes in front.
        p, q, r, s = yy / determinant, -xy / determinant, -yx / determinant, xx / determinant
        x, y = self.width / 2, self.height / 2
        left, top = x - p * x - q * y, y - r * x - s * y
        a, b, d, e = self.a, self.b, self.d, self.e
        self.c += a * left + b * top
        self.f += d * left + e * top
        self.a, self.b = a * p + b * r, a * q + b * s
        self.d, self.e = d * p + e * r, d * q + e * s
        if self.erased:  # a pipeline that rotates or shears after erasing is refused: here lines stay lines
            self.erased = tuple(
                (x + (x0 - x) * xx, y + (y0 - y) * yy, x + (x1 - x) * xx, y + (y1 - y) * yy, color)
                for x0, y0, x1, y1, color in self.erased
            )

    def move(self, x: float, y: float) -> None:
        """Move the picture within its frame, in output pixels."""
        self.c -= self.a * x + self.b * y
        self.f -= self.d * x + self.e * y
        if self.erased:
            self.erased = tuple((x0 + x, y0 + y, x1 + x, y1 + y, color) for x0, y0, x1, y1, color in self.erased)

    def erase(self, left: float, top: float, width: float, height: float, color: Color) -> None:
        """Hide a rectangle of the output behind a color."""
        if self.gains is not None:
            color = _each(color, len(self.gains))
        self.erased += ((left, top, left + width, top + height, color),)

    # --- color ------------------------------------------------------------------------------------------------------

    def paint(self, m: Sequence[float]) -> None:
        """Apply another 3 x 4 color matrix after the present one.

        Raises
        ------
        BadSetting
            If the image's channels are no colors.
        """
        if self.gains is not None:
            raise BadSetting(f"colors are mixed of red, green and blue, and this image has {len(self.gains)} channels")
        if self.bounds is not None:
            raise BadSetting("colors cannot be mixed after values were clipped, by Window or Percentiles")
        m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11 = m
        n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11 = self.color
        self.color = (
            m0 * n0 + m1 * n4 + m2 * n8, m0 * n1 + m1 * n5 + m2 * n9,
            m0 * n2 + m1 * n6 + m2 * n10, m0 * n3 + m1 * n7 + m2 * n11 + m3,
            m4 * n0 + m5 * n4 + m6 * n8, m4 * n1 + m5 * n5 + m6 * n9,
            m4 * n2 + m5 * n6 + m6 * n10, m4 * n3 + m5 * n7 + m6 * n11 + m7,
            m8 * n0 + m9 * n4 + m10 * n8, m8 * n1 + m9 * n5 + m10 * n9,
            m8 * n2 + m9 * n6 + m10 * n10, m8 * n3 + m9 * n7 + m10 * n11 + m11,
        )  # fmt: skip
        if self.erased:
            self.erased = tuple((x0, y0, x1, y1, _painted(m, color)) for x0, y0, x1, y1, color in self.erased)

    def per_channel(self, factor: Sequence[float], offset: Sequence[float]) -> None:
        """Multiply and add, channel by channel: three of each, or one for each of the image's channels.

        Where an image's channels are no colors, three equal numbers are meant for all of them.
        """
        if self.bounds is not None:
            self._move_bounds(factor, offset)
        if self.gains is not None:
            self._per_channel(_each(factor, len(self.gains)), _each(offset, len(self.gains)))
            return
        f0, f1, f2 = factor
        o0, o1, o2 = offset
        n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11 = self.color
        self.color = (
            f0 * n0, f0 * n1, f0 * n2, f0 * n3 + o0,
            f1 * n4, f1 * n5, f1 * n6, f1 * n7 + o1,
            f2 * n8, f2 * n9, f2 * n10, f2 * n11 + o2,
        )  # fmt: skip
        if self.erased:
            self.erased = tuple(
                (x0, y0, x1, y1, (f0 * r + o0, f1 * g + o1, f2 * b + o2)) for x0, y0, x1, y1, (r, g, b) in self.erased
            )

    def factors_and_offsets(self, channels: int) -> tuple[Color, Color]:
        """Return the factor and the offset of each of ``channels`` channels, where colors are not mixed."""
        if self.gains is not None:
            return self.gains, self.offsets
        m = self.color
        return (m[0], m[5], m[10], self.alpha)[:channels], (m[3], m[7], m[11], 0.0)[:channels]

    def _per_channel(self, factor: Color, offset: Color) -> None:
        assert self.gains is not None
        self.gains = tuple(f * g for f, g in zip(factor, self.gains, strict=True))
        self.offsets = tuple(f * before + o for f, before, o in zip(factor, self.offsets, offset, strict=True))
        self.erased = tuple(
            (x0, y0, x1, y1, tuple(f * c + o for f, c, o in zip(factor, color, offset, strict=True)))
            for x0, y0, x1, y1, color in self.erased
        )

    def to_unit(self) -> None:
        """Clip all values to 0 to 1; alpha is scaled to this range."""
        count = len(self.gains) if self.gains is not None else 3
        lows, highs = self.bounds or ((0.0,) * count, (1.0,) * count)
        self.bounds = tuple(map(_in_unit, lows)), tuple(map(_in_unit, highs))
        self.erased = tuple((x0, y0, x1, y1, tuple(map(_in_unit, color))) for x0, y0, x1, y1, color in self.erased)
        self.alpha /= self.whole
        self.whole = 1.0

    def stretch(self, lows: Sequence[float], highs: Sequence[float]) -> None:
        """Scale the channels of the source, before all other color, so that these values become 0 and 1. Equal ones become 0."""
        factor = [1.0 / (high - low) if high > low else 1.0 for low, high in zip(lows, highs, strict=True)]
        self.percentiles = None
        if self.gains is not None:
            self.offsets = tuple(
                offset - gain * low * f for offset, gain, low, f in zip(self.offsets, self.gains, lows, factor, strict=True)
            )
            self.gains = tuple(gain * f for gain, f in zip(self.gains, factor, strict=True))
            return
        color = list(self.color)
        for c in range(3):  # colors are not mixed where values are clipped
            low, f = lows[min(c, len(lows) - 1)], factor[min(c, len(lows) - 1)]
            color[4 * c + 3] -= color[5 * c] * low * f
            color[5 * c] *= f
        self.color = tuple(color)

    def _move_bounds(self, factor: Sequence[float], offset: Sequence[float]) -> None:
        assert self.bounds is not None
        factor, offset = (_each(numbers, len(self.bounds[0])) for numbers in (factor, offset))
        moved = [sorted((f * low + o, f * high + o)) for f, low, high, o in zip(factor, *self.bounds, offset, strict=True)]
        self.bounds = tuple(low for low, _ in moved), tuple(high for _, high in moved)

    # --- the source --------------------------------------------------------------------------------------------------

    def to_stored(self, orientation: int, width: float, height: float, scale: float) -> None:
        """Map to pixels as stored and decoded, instead of upright pixels.

        Parameters
        ----------
        orientation
            EXIF orientation, 1 to 8.
        width, height
            Size of the image as stored.
        scale
            Decoded pixels per stored pixel.
        """
        if orientation != 1:
            (ax, bx, wx, hx), (ay, by, wy, hy) = _ORIENTATIONS[orientation - 1]
            a, b, c, d, e, f = self.a, self.b, self.c, self.d, self.e, self.f
            self.a, self.b, self.c = ax * a + bx * d, ax * b + bx * e, ax * c + bx * f + wx * width + hx * height
            self.d, self.e, self.f = ay * a + by * d, ay * b + by * e, ay * c + by * f + wy * width + hy * height
        if scale != 1.0:
            self.a, self.b, self.c = self.a * scale, self.b * scale, self.c * scale
            self.d, self.e, self.f = self.d * scale, self.e * scale, self.f * scale

    def steps(self) -> tuple[float, float]:
        """Return how many source pixels lie between neighbors of the output, along its lines and its columns."""
        return math.hypot(self.a, self.d), math.hypot(self.b, self.e)


def _each(values: Sequence[float], channels: int) -> Color:
    """Return one value a channel, where all may be the same."""
    if len(values) == channels:
        return tuple(values)
    if any(value != values[0] for value in values):
        raise BadSetting(f"one number, or {channels} are needed for rows of {channels} channels, not {len(values)}")
    return (values[0],) * channels


def _in_unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _painted(m: Sequence[float], color: Color) -> Color:
    r, g, b = color
    return (
        m[0] * r + m[1] * g + m[2] * b + m[3],
        m[4] * r + m[5] * g + m[6] * b + m[7],
        m[8] * r + m[9] * g + m[10] * b + m[11],
    )
