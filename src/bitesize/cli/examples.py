"""Examples of commands, shown at the end of their help, and run by the tests."""

from __future__ import annotations

# Commands with what they do; "" is the program. In plain words of the shells of Linux, macOS and Windows.
EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("bitesize info photos/", "how the data is understood"),
        ("bitesize train photos/ --out runs/first", "photos/cat/1.jpg, photos/dog/2.jpg ..."),
        ("bitesize predict runs/first new/*.jpg", "predictions.csv, with a line for each file"),
    ),
    "train": (
        ("bitesize train photos/ --out runs/first", "start; the same command continues an interrupted run"),
        ("bitesize train houses.csv --labels price --epochs 20", "predict a number of each row of a table"),
        ("bitesize train photos/ --model MobileNetV2 --weights imagenet", "start from pretrained weights"),
        ("bitesize train --config runs/first/config.json --seed 1", "repeat a run with another seed"),
    ),
    "evaluate": (
        ("bitesize evaluate runs/first --part val", "the rows that were held back from training"),
        ("bitesize evaluate runs/first more-photos/ --json", "other data with labels, for a script"),
    ),
    "predict": (
        ("bitesize predict runs/first new/ more/*.jpg", "folders and files; a line for each in predictions.csv"),
        ("bitesize predict runs/first new/ --out found.csv --overwrite", "another file, replaced if it exists"),
        ("bitesize predict runs/first new/ --json", "one JSON object instead of a file"),
    ),
    "report": (
        ("bitesize report runs/first", "write runs/first/report.html again, with the results of an interrupted run"),
        ("bitesize report runs/first runs/second --out compare.html", "two runs side by side"),
    ),
    "info": (
        ("bitesize info photos/", "rows, classes, value ranges, and what was left out"),
        ("bitesize info houses.csv --labels price", "another column of labels"),
        ("bitesize info photos/ --json", "for a script"),
    ),
    "plan": (
        ("bitesize plan photos/ --memory 512MiB", "what a budget is spent on"),
        ("bitesize plan photos/ --model cnn --ram 8GiB", "whether training fits into another machine"),
        ("bitesize plan photos/ --measure", "rows per second, and what limits them"),
        ("bitesize plan photos/ --html plan.html", "the same as a page"),
    ),
    "check": (
        ("bitesize check photos/", "exit code 3 if there are problems"),
        ("bitesize check photos/ --html check.html", "the findings as a page, with pictures"),
        ("bitesize check photos/ --move-bad damaged/", "move files that cannot be read out of the data"),
    ),
    "stats": (
        ("bitesize stats photos/", "mean and deviation of each channel, and the line of code that uses them"),
        ("bitesize stats photos/ --json", "for a script"),
    ),
    "inspect": (
        ("bitesize inspect photos/ --out grid.png", "eight rows, each as stored and as the model sees it"),
        ("bitesize inspect photos/ --rows 100 --out grid.html", "a page with many rows"),
        ("bitesize inspect photos/ --rows 3 --draws 2 --overwrite", "fewer pictures, replacing grid.png"),
    ),
    "formats": (
        ("bitesize formats", "formats, and the packages that some of them need"),
        ("bitesize formats --json", "for a script"),
    ),
    "models": (
        ("bitesize models", "all values of train --model"),
        ("bitesize models MobileNetV2", "the number of parameters of a model"),
    ),
    "bench": (
        ("bitesize bench photos/ --image-size 224", "rows per second, and what limits them"),
        ("bitesize bench photos/ --threads 2 --seconds 2", "with two threads, measured for two seconds"),
    ),
    "cache": (
        ("bitesize cache", "list the caches"),
        ("bitesize cache clear", "remove all of them"),
    ),
    "concat": (
        ("bitesize concat parts/*.npy --out all.npy", "the rows of all files"),
        ("bitesize concat parts/*.npy --out all.npy --stack --overwrite", "each file is one row"),
    ),
    "pack": (
        ("bitesize pack photos/ --out packed/", "few large files instead of many small ones"),
        ("bitesize pack photos/ --out packed-256/ --resize 256", "decoded and resized once and for good"),
        ("bitesize pack packed/ --verify", "compare all checksums of a store"),
    ),
    "demo": (
        ("bitesize demo", "3,000 made pictures under a memory limit of 1.5 GiB"),
        ("bitesize demo --task tabular", "small data of one task, beside a trivial answer"),
    ),
    "doctor": (
        ("bitesize doctor", "this machine and this environment"),
        ("bitesize doctor data/", "with the speed of the disk of data/"),
        ("bitesize doctor --json", "for a report of a problem"),
    ),
}
