"""`bitesize train` in several processes: rank 0 chooses the folder, prints and writes; the others follow."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bitesize.cli.interrupt import end_when_blocked
from bitesize.cli.run_folder import Chosen, Wanted, choose

if TYPE_CHECKING:
    from bitesize.training.interrupted import InterruptedRun
    from bitesize.training.ranks import Ranks

# The ranks of this process, once they are connected.
_joined: list[Ranks] = []


def join() -> Ranks:
    """Connect this process with the others of its launcher, if any."""
    from bitesize.cluster.join import join_launcher

    ranks = join_launcher()
    _joined[:] = [ranks] if ranks.several else []
    if ranks.several:
        end_when_blocked()
    return ranks


def is_follower() -> bool:
    """Return whether this process is one of several, and not the first: rank 0 prints for all of them."""
    return bool(_joined) and not _joined[0].is_first


def is_rank() -> bool:
    """Return whether this process is one of several that are connected."""
    return bool(_joined)


def refuse_folds(ranks: Ranks) -> None:
    """Raise for a cross-validation in several processes."""
    from bitesize.errors import BadSetting

    if ranks.several:
        raise BadSetting(
            f"--folds trains one model after another in one process, but {ranks.shard.world_size} processes were started: start it once"
        )


def choose_together(ranks: Ranks, wanted: Wanted, again: int) -> Chosen:
    """Choose and lock the folder on rank 0, as `choose` does; the others train in it, too.

    Parameters
    ----------
    ranks
        The processes that train together.
    wanted
        Request of the command.
    again
        How often these processes were started again: then the run goes on, and is not replaced.
    """
    from bitesize.cli.run_folder import say

    if again:
        wanted = replace(wanted, overwrite=False)
        if ranks.is_first:
            say(f"The processes were started again ({again}).")
    if not ranks.several:
        return choose(wanted)
    own: list[Chosen] = []

    def first() -> dict[str, Any]:
        """Choose, and return what the others need."""
        own.append(chosen := choose(wanted))
        _refuse_estimator(ranks, chosen)
        start = chosen.start
        return {
            "settings": chosen.settings,
            "finished": chosen.finished,
            "start": None if start is None else (start.run.shown, dict(start.given), start.command),
            "resumed": None if start is None or (run := start.resumed) is None else _parts(run),
        }

    sent = ranks.of_first(first)
    if own:
        return own[0]
    from bitesize.training.follower_run import follow
    from bitesize.training.interrupted import Start, interrupted_run

    if sent["start"] is None:
        return Chosen(sent["settings"], None, sent["finished"])
    shown, given, words = sent["start"]
    resumed = None if sent["resumed"] is None else interrupted_run(*sent["resumed"])
    return Chosen(sent["settings"], Start(follow(shown), resumed, given, words))


def _parts(run: InterruptedRun) -> tuple[Any, ...]:
    return run.settings, run.checkpoint, run.extends, dict(run.extra)


def _refuse_estimator(ranks: Ranks, chosen: Chosen) -> None:
    from bitesize.errors import BadSetting
    from bitesize.training.estimators import is_estimator

    if is_estimator(chosen.settings.model):
        if chosen.start is not None:
            chosen.start.run.release()
        raise BadSetting(
            f"--model {chosen.settings.model} trains in one process, but {ranks.shard.world_size} were started: start it once"
        )
