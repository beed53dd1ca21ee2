"""The option ``--storage-option key=value``: settings of the storages of all addresses of a command."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_OPTION = "--storage-option"
_settings: dict[str, Any] = {}  # of this command


def set_storage_options(options: Iterable[str], arguments: Iterable[object], *, needs_address: bool = True) -> None:
    """Set options of the storages of all addresses among the arguments of a command.

    Values true and false are switches; all others are text, as in the environment.

    Parameters
    ----------
    options
        Options as ``key=value``.
    arguments
        Arguments of the command: texts, lists of texts, and others, which are no addresses.
    needs_address
        Whether there must be an address: a run that is resumed may have recorded those of its data.

    Raises
    ------
    BadSetting
        If an option has no ``=``, or there is no address.
    """
    from bitesize.errors import BadSetting
    from bitesize.storage.url import is_url

    _settings.clear()
    for option in options:
        name, mark, value = option.partition("=")
        if not mark or not name:
            raise BadSetting(f"{_OPTION} takes key=value, such as endpoint=http://localhost:9000")
        _settings[name] = {"true": True, "false": False}.get(value.lower(), value)
    texts = [text for each in arguments for text in (each if isinstance(each, list | tuple) else [each])]
    addresses = [text for text in texts if isinstance(text, str) and is_url(text)]
    if not addresses and needs_address:
        raise BadSetting(f"{_OPTION} is for data or outputs at addresses such as s3://bucket/data, and none is given")
    set_also(addresses)


def set_also(addresses: Iterable[object]) -> None:
    """Set the options of this command for other addresses, such as the data of a run that is resumed."""
    from bitesize.storage.stores import configure
    from bitesize.storage.url import is_url

    for address in addresses if _settings else ():
        if isinstance(address, str) and is_url(address):
            configure(address, _settings)


def without_values(words: Iterable[str]) -> list[str]:
    """Return a command line without the values of its storage options, which may be secrets.

    Examples
    --------
    >>> without_values(["train", "s3://bucket/data", "--storage-option", "secret_access_key=abc", "--seed", "1"])
    ['train', 's3://bucket/data', '--storage-option', 'secret_access_key=...', '--seed', '1']
    """
    kept: list[str] = []
    for word in words:
        before = f"{_OPTION}=" if word.startswith(f"{_OPTION}=") else ""
        if before or (kept and kept[-1] == _OPTION):
            word = f"{before}{word.removeprefix(before).partition('=')[0]}=..."
        kept.append(word)
    return kept
