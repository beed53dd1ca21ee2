"""Kinds of image files: suffixes, modes, sizes, depths, and files that are not what they seem."""

import numpy as np
from PIL import Image

from tests.layouts.catalog.registry import (
    CAT_DOG,
    TRAIN,
    Given,
    class_folders,
    in_turn,
    labels_of,
    layout,
    marker,
    picture,
    save_image,
    unlabeled,
    write_file,
)


@layout(TRAIN)
def upper_suffixes(root):
    """Suffixes in upper case, as cameras write them."""
    for i in range(12):
        save_image(root / CAT_DOG[i % 2] / f"DSC_{i:04d}{('.JPG', '.PNG', '.JPEG')[i % 3]}", i)
    return Given(str(root))


@layout(TRAIN)
def mixed_jpg_png_bmp_webp(root):
    """Images of five formats."""
    for i in range(12):
        path = root / CAT_DOG[i % 2] / f"{i}{('.jpg', '.png', '.bmp', '.webp', '.tif')[i % 5]}"
        options = {"lossless": True} if path.suffix == ".webp" else {}
        save_image(path, i, **options)
    return Given(str(root))


@layout(TRAIN)
def gray_rgb_mixed(root):
    """Gray images among color images."""
    for i in range(12):
        save_image(root / CAT_DOG[i % 2] / f"{i}.png", i, mode="L" if i % 3 else "RGB")
    return Given(str(root))


@layout(TRAIN)
def rgba_palette_gray_alpha_mixed(root):
    """Images with alpha, palettes, or gray with alpha, among RGB images."""
    for i in range(12):
        save_image(root / CAT_DOG[i % 2] / f"screenshot {i}.png", i, mode=("RGBA", "P", "RGB", "LA")[i % 4])
    return Given(str(root))


@layout(TRAIN, resize=True)
def unequal_sizes(root):
    """Images of different sizes."""
    for i in range(12):
        save_image(root / CAT_DOG[i % 2] / f"{i}.jpg", i, size=(8 + i, 8 + 2 * (i % 3)))
    return Given(str(root))


@layout(TRAIN, kind="may_refuse")
def gif_animated(root):
    """Animated GIF files, of which the first frame is meant."""
    for i in range(12):
        path = root / CAT_DOG[i % 2] / f"{i}.gif"
        path.parent.mkdir(exist_ok=True)
        picture(i, "L").save(path, save_all=True, append_images=[picture(30, "L"), picture(31, "L")])
    return Given(str(root))


JPEG_XL = b"\xff\x0a" + b"\0" * 64


@layout(labels_of([i for i in range(12) if i % 4], lambda i: CAT_DOG[i % 2]), kind="may_refuse", say=("jxl",))
def jpeg_xl_among_jpegs(root):
    """JPEG XL files among JPEG files."""
    for i in range(12):
        if i % 4:
            save_image(root / CAT_DOG[i % 2] / f"IMG_{i:04d}.JPG", i)
        else:
            write_file(root / CAT_DOG[i % 2] / f"IMG_{i:04d}.JXL", JPEG_XL)
    return Given(str(root))


@layout(TRAIN, kind="must_refuse", named=("JPEG XL",))
def jpeg_xl_only(root):
    """Only JPEG XL files."""
    for i in range(12):
        write_file(root / CAT_DOG[i % 2] / f"IMG_{i:04d}.JXL", JPEG_XL)
    return Given(str(root))


@layout(TRAIN)
def png_renamed_jpg(root):
    """PNG files under the suffix .jpg."""
    for i in range(12):
        path = root / CAT_DOG[i % 2] / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        picture(i).save(path, format="PNG")
    return Given(str(root))


@layout(
    in_turn(11),
    kind="may_refuse",
    say=("11.jpg", "damaged", "unreadable", "bad"),
)
def html_saved_as_jpg(root):
    """One image is a web page."""
    class_folders(root, range(11), name="{i}.jpg")
    write_file(root / "dog" / "11.jpg", "<!DOCTYPE html><html>403</html>")
    return Given(str(root))


@layout(TRAIN, kind="may_refuse", scale=256)
def png16_class_folders(root):
    """16-bit gray PNG files of a microscope: never clipped to 255."""
    class_folders(root, mode="I;16")
    return Given(str(root))


@layout(TRAIN, kind="may_refuse", about=("16-bit",))
def tiff16_low_range(root):
    """Values below 256 in 16-bit TIFF files: not all black."""
    for i in range(12):
        path = root / CAT_DOG[i % 2] / f"pos{i:03d}.tif"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8), marker(i), np.uint16)).save(path)
    return Given(str(root))


@layout(TRAIN, kind="may_refuse")
def tiff_float32(root):
    """TIFF files of floating-point numbers."""
    class_folders(root, mode="F", name="{i}.tiff")
    return Given(str(root))


@layout(
    TRAIN,
    kind="may_refuse",
    say=("page", "pages", "frame", "frames"),
)
def tiff_multipage(root):
    """TIFF files of several pages."""
    for i in range(12):
        path = root / CAT_DOG[i % 2] / f"stack{i}.tif"
        path.parent.mkdir(exist_ok=True)
        picture(i, "L").save(path, save_all=True, append_images=[picture(30, "L"), picture(31, "L")])
    return Given(str(root))


@layout(labels_of(range(12), lambda i: ("control", "treated")[i // 2 % 2]), kind="may_refuse")
def channels_as_files(root):
    """The channels of a microscope as files: each is a row."""
    for i in range(12):
        save_image(
            root / ("control", "treated")[i // 2 % 2] / f"r01c{i // 2:02d}f01p01-ch{1 + i % 2}sk1fk1fl1.tiff", i, mode="L"
        )
    return Given(str(root))


@layout(labels_of([0], lambda i: None), kind="may_refuse")
def single_image_given(root):
    """One image is opened."""
    save_image(root / "me.png", 0)
    return Given(str(root / "me.png"))


@layout(unlabeled(), kind="may_refuse")
def utkface_names(root):
    """Ages only in the names of files: no labels."""
    for i in range(12):
        save_image(root / "UTKFace" / f"{20 + i}_{i % 2}_0_2017011{i:02d}.jpg.chip.jpg", i)
    return Given(str(root / "UTKFace"))
