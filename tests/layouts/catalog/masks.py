"""Images with masks: pairs, never two classes."""

from PIL import Image

from tests.layouts.catalog.registry import Given, in_turn, labels_of, layout, save_image, unlabeled, write_csv, write_file


def save_mask(path, value):
    """Write a mask of one value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Optimized, a GIF file of one value holds 0 and a palette.
    options = {"optimize": False} if path.suffix == ".gif" else {}
    Image.new("L", (8, 8), value).save(path, **options)


def mask_values(rows=range(12), classes=3):
    return labels_of(rows, lambda i: ("mask", i % classes))


def image_mask_pairs(root, images, masks, rows=range(12), image="{i:03d}.png", mask="{i:03d}.png", classes=3):
    """Write an image and a mask for each row, in two folders."""
    for i in rows:
        save_image(root / images / image.format(i=i), i)
        save_mask(root / masks / mask.format(i=i), i % classes)


@layout(mask_values(), kind="may_refuse")
def seg_images_masks(root):
    """Folders images and masks."""
    image_mask_pairs(root, "images", "masks")
    return Given(str(root))


@layout(mask_values(), kind="may_refuse")
def seg_image_label(root):
    """Folders image and label."""
    image_mask_pairs(root, "image", "label")
    return Given(str(root))


@layout(mask_values(), kind="may_refuse")
def seg_imgs_annotations(root):
    """JPEG images and PNG masks."""
    image_mask_pairs(root, "imgs", "annotations", image="frame_{i}.jpg", mask="frame_{i}.png")
    return Given(str(root))


@layout(mask_values(), kind="may_refuse")
def seg_voc(root):
    """Pascal VOC: SegmentationClass, with two folders more."""
    image_mask_pairs(root, "JPEGImages", "SegmentationClass", image="2007_{i:06d}.jpg", mask="2007_{i:06d}.png")
    for i in range(12):
        save_mask(root / "SegmentationObject" / f"2007_{i:06d}.png", 1)
    write_file(root / "ImageSets" / "Segmentation" / "train.txt", "".join(f"2007_{i:06d}\n" for i in range(12)))
    return Given(str(root))


@layout(mask_values(), kind="may_refuse")
def seg_side_by_side_img_mask(root):
    """Images and masks side by side: 12 pairs, not 24 images."""
    image_mask_pairs(root, ".", ".", image="cell{i:02d}_img.png", mask="cell{i:02d}_mask.png")
    return Given(str(root))


@layout(mask_values(classes=2), kind="may_refuse")
def seg_carvana(root):
    """Carvana: train and train_masks, which is neither a split nor a class."""
    image_mask_pairs(root, "train", "train_masks", image="0cdf5b5d_{i:02d}.jpg", mask="0cdf5b5d_{i:02d}_mask.gif", classes=2)
    write_csv(root / "train_masks.csv", img=[f"0cdf5b5d_{i:02d}.jpg" for i in range(12)], rle_mask=["1 64"] * 12)
    return Given(str(root))


@layout(in_turn(12, ("benign", "malignant")), kind="may_refuse", also_right=(mask_values(classes=2),))
def seg_busi_masks_in_class_folders(root):
    """Masks beside the images of each class: they are not images of the class."""
    for i in range(12):
        name = ("benign", "malignant")[i % 2]
        save_image(root / name / f"{name} ({i}).png", i)
        save_mask(root / name / f"{name} ({i})_mask.png", i % 2)
    return Given(str(root))


@layout(mask_values(), kind="may_refuse", splits={"train": mask_values(), "val": mask_values(range(12, 18))})
def seg_train_val_images_masks(root):
    """Images and masks in each split."""
    image_mask_pairs(root / "train", "images", "masks")
    image_mask_pairs(root / "val", "images", "masks", range(12, 18))
    return Given(str(root))


@layout(mask_values(), kind="may_refuse", splits={"train": mask_values(), "val": mask_values(range(12, 18))})
def seg_images_train_masks_train(root):
    """Cityscapes: splits below images and masks."""
    image_mask_pairs(
        root,
        "leftImg8bit/train",
        "gtFine/train",
        image="bochum_{i:06d}_leftImg8bit.png",
        mask="bochum_{i:06d}_gtFine_labelIds.png",
    )
    image_mask_pairs(
        root,
        "leftImg8bit/val",
        "gtFine/val",
        range(12, 18),
        image="ulm_{i:06d}_leftImg8bit.png",
        mask="ulm_{i:06d}_gtFine_labelIds.png",
    )
    return Given(str(root))


@layout(mask_values(), kind="may_refuse")
def dict_images_masks(root):
    """A mapping from field to folder."""
    image_mask_pairs(root, "in", "out")
    return Given({"image": str(root / "in"), "mask": str(root / "out")})


@layout(unlabeled(), kind="may_refuse")
def seg_dsb2018_per_image_folders(root):
    """A folder for each image, with several masks: folders are not classes."""
    for i in range(12):
        folder = root / "stage1_train" / f"{i:08x}"
        save_image(folder / "images" / f"{i:08x}.png", i)
        for k in range(2):
            save_mask(folder / "masks" / f"{k:04x}.png", 255)
    return Given(str(root / "stage1_train"))
