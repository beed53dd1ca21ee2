"""View: where each pixel of one row comes from, and what happens to its colour."""

from __future__ import annotations

from collections.abc import Sequence

# The identity of the 3 x 4 colour matrix.
PLAIN = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0)

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


class View:
    """The view of one row, which transforms adjust one after the other.

    Plain floats in slots: NumPy or frozen dataclasses here would cost more than the pixels do.

    Attributes
    ----------
    width, height : float
        Size of the output so far, in pixels; at first that of the upright source.
    a, b, c, d, e, f : float
        Affine map from output to upright source pixels: ``x' = a x + b y + c``, ``y' = d x + e y + f``. Pixel (0, 0)
        covers 0 to 1 in both directions.
    colour : tuple of 12 float
        A 3 x 4 matrix: ``out = colour[:, :3] @ rgb + colour[:, 3]``.
    alpha : float
        Factor of a fourth channel.
    whole : float
        What full brightness is before the next step: 255 for 8-bit values, 1 for floats, which are taken as they are.
    bicubic : bool
        Interpolation: cubic instead of linear.
    """

    __slots__ = ("a", "alpha", "b", "bicubic", "c", "colour", "d", "e", "f", "height", "whole", "width")

    def __init__(self, width: float, height: float, whole: float = 255.0) -> None:
        self.width = width
        self.height = height
        self.a, self.b, self.c = 1.0, 0.0, 0.0
        self.d, self.e, self.f = 0.0, 1.0, 0.0
        self.colour: tuple[float, ...] = PLAIN
        self.alpha = 1.0
        self.whole = whole
        self.bicubic = False

    def rescale(self, width: int, height: int) -> None:
        """Change the output's size; what it shows stays."""
        x, y = self.width / width, self.height / height
        self.a, self.b, self.d, self.e = self.a * x, self.b * y, self.d * x, self.e * y
        self.width, self.height = width, height

    def crop(self, left: float, top: float, width: float, height: float) -> None:
        """Show only a part of the output, in its own pixels."""
        self.c += self.a * left + self.b * top
        self.f += self.d * left + self.e * top
        self.width, self.height = width, height

    def mirror(self) -> None:
        """Flip left and right."""
        self.c += self.a * self.width
        self.f += self.d * self.width
        self.a, self.d = -self.a, -self.d

    def upend(self) -> None:
        """Flip top and bottom."""
        self.c += self.b * self.height
        self.f += self.e * self.height
        self.b, self.e = -self.b, -self.e

    def paint(self, m: tuple[float, ...]) -> None:
        """Apply another 3 x 4 colour matrix after the present one."""
        n = self.colour
        self.colour = tuple(
            m[4 * i] * n[j] + m[4 * i + 1] * n[4 + j] + m[4 * i + 2] * n[8 + j] + (m[4 * i + 3] if j == 3 else 0.0)
            for i in range(3)
            for j in range(4)
        )

    def per_channel(self, factor: Sequence[float], offset: Sequence[float]) -> None:
        """Multiply and add, channel by channel; the last value serves the channels beyond."""
        f, o = (*factor, factor[-1], factor[-1]), (*offset, offset[-1], offset[-1])
        self.paint((f[0], 0.0, 0.0, o[0], 0.0, f[1], 0.0, o[1], 0.0, 0.0, f[2], o[2]))

    def to_stored(self, orientation: int, width: float, height: float, scale: float) -> None:
        """Map to pixels as stored and decoded instead of upright ones.

        Parameters
        ----------
        orientation
            EXIF orientation, 1 to 8.
        width, height
            Size of the image as stored.
        scale
            Decoded pixels per stored pixel.
        """
        (ax, bx, wx, hx), (ay, by, wy, hy) = _ORIENTATIONS[orientation - 1]
        a, b, c, d, e, f = self.a, self.b, self.c, self.d, self.e, self.f
        self.a, self.b, self.c = ax * a + bx * d, ax * b + bx * e, ax * c + bx * f + wx * width + hx * height
        self.d, self.e, self.f = ay * a + by * d, ay * b + by * e, ay * c + by * f + wy * width + hy * height
        if scale != 1.0:
            self.a, self.b, self.c = self.a * scale, self.b * scale, self.c * scale
            self.d, self.e, self.f = self.d * scale, self.e * scale, self.f * scale
