"""`bitesize info`: show how data is understood, and which options change it."""

from __future__ import annotations

from bitesize.cli.console import console, plain, print_json, print_understood
from bitesize.cli.options import Data, Json, Opening, takes_options


@takes_options
def info(data: Data, opening: Opening, json: Json = False) -> None:
    """Show how the data is understood: rows, inputs, labels, classes, value ranges, choices made and files left out.

    A few rows are read for the range of values. Each choice names the option that changes it.
    """
    from bitesize.errors import BadFile
    from bitesize.sources.open import open
    from bitesize.sources.splits import SplitRequired

    sources, damaged = {}, {}
    try:
        sources["data"] = open(data, opening.labels_setting, split=opening.split, **opening.settings)
    except SplitRequired as error:
        for split in error.splits:
            try:
                sources[split] = open(data, opening.labels_setting, split=split, **opening.settings)
            except BadFile as bad:
                damaged[split] = str(bad)
    if json:
        found = {name: source.explain().to_dict() for name, source in sources.items()}
        print_json(found["data"] if list(found) == ["data"] else {"splits": found, "damaged": damaged})
        return
    for name, source in sources.items():
        if name != "data":
            console.print(f"[bold green]{plain(name)}[/]  [dim](--split {plain(name)})[/]", highlight=False)
        print_understood(source, measure=True)
    for name, why in damaged.items():
        console.print(f"[bold red]{plain(name)} cannot be opened[/]: {plain(why)}", highlight=False, soft_wrap=True)
