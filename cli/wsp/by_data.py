"""How `wsp merge` merges any number of networks, each method in its own words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from wsp.console import Console, counted
from wsp.outcome import Outcome
from wsp.several import Several

if TYPE_CHECKING:
    from torch import Tensor

    from weightspace.merge.by_data import Soup


def merged_by(several: Several, console: Console) -> Outcome:
    """Merges by the method that was asked for."""
    merges = {"uniform_soup": _uniform, "greedy_soup": _greedy, "regmean": _regmean, "fisher": _fisher}
    return merges[several.asked.method.name](several, console)


def _uniform(several: Several, console: Console) -> Outcome:
    from weightspace.merge import average, finished

    network = several.pair.network
    program = None if network is None else network.program
    merged = finished(average(several.states), several.pair.dtypes, program, several.statistics())
    return Outcome(f"by uniform soup of {_models(several)}", merged, {"merge": "uniform_soup"}, lambda _: None)


def _greedy(several: Several, console: Console) -> Outcome:
    from weightspace.evaluate import evaluate
    from weightspace.merge import Merged, finished
    from weightspace.merge.by_data import greedy_soup

    (data, samples), dtypes = several.given[0], several.pair.dtypes
    statistics = "none"

    def score(state: Mapping[str, Tensor]) -> float:
        return evaluate(several.program, state, data.evaluation(samples)).accuracy

    def finish(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        nonlocal statistics
        merged = finished(state, dtypes, several.program, several.statistics())
        statistics = merged.statistics
        return merged.tensors

    with console.progress("tasting") as step:
        soup = greedy_soup(several.states, score, finish, progress=step)
    taken = sum(each.taken for each in soup.tried)
    if taken == 1 and statistics == "measured":
        statistics = "kept"
    tried = [{**asdict(each), "model": several.asked.models[each.model]} for each in soup.tried]
    console.note("accuracies chose the models, so that of the soup on these examples is no estimate for others")
    return Outcome(
        f"by greedy soup of {taken} of {_models(several)}",
        Merged(dict(soup.state), statistics), {"merge": "greedy_soup", "tried": tried},
        lambda console: _show_soup(several, soup, console),
    )  # fmt: skip


def _show_soup(several: Several, soup: Soup, console: Console) -> None:
    console.table(
        ("model", "#accuracy alone", "#in the soup", "taken"),
        [
            (several.asked.models[each.model], f"{each.alone:.2%}", f"{each.together:.2%}", _YES[each.taken])
            for each in soup.tried
        ],
        title="models in the order in which they were tried",
    )


def _regmean(several: Several, console: Console) -> Outcome:
    from weightspace.merge import finished
    from weightspace.merge.by_data import regmean
    from weightspace.merge.networks import RegmeanOptions

    network, options, program = several.pair.network, several.asked.options, several.program
    assert network is not None
    assert isinstance(options, RegmeanOptions)
    calls = [
        lambda data=data, samples=samples: (program.inputs_for(x) for x, _ in data.matching(samples))
        for data, samples in several.given
    ]
    with console.progress("merging") as step:
        found = regmean(
            program, [network.untied(state) for state in several.states], calls, alpha=options.alpha,
            ridge=options.ridge, progress=step,
        )  # fmt: skip
    state = network.under_all_names(found.state, several.states[0])
    merged = finished(state, several.pair.dtypes, program, several.statistics())
    recipe = {"merge": "regmean", "solved": list(found.solved)}
    return Outcome(
        f"by RegMean of {_models(several)}", merged, recipe,
        lambda console: console.line(f"{counted(len(found.solved), 'layer')} solved for: {', '.join(found.solved)}"),
    )  # fmt: skip


def _fisher(several: Several, console: Console) -> Outcome:
    from weightspace.merge import finished
    from weightspace.merge.by_data import fisher_information, fisher_mean
    from weightspace.merge.networks import FisherOptions, Weighted

    network, options, program = several.pair.network, several.asked.options, several.program
    assert network is not None
    assert isinstance(options, FisherOptions)
    states = [network.untied(state) for state in several.states]
    above: dict[str, float] = {}

    def information() -> Iterator[dict[str, Tensor]]:
        for number, (state, (data, samples)) in enumerate(zip(states, several.given, strict=True)):
            step(number, len(states), several.asked.models[number])
            found = fisher_information(
                program, state, data.matching(samples), given=options.given_labels, draws=options.draws,
                seed=several.asked.recipe.seed,
            )  # fmt: skip
            numbers = sum(each.numel() for each in found.values())
            above[several.asked.models[number]] = sum(int((v > options.floor).sum()) for v in found.values()) / numbers
            yield found

    weights = [each.weight for each in several.asked.of_models if isinstance(each, Weighted)]
    with console.progress("measuring") as step:
        mean = fisher_mean(states, information(), weights=weights, floor=options.floor)
    state = network.under_all_names(mean, several.states[0])
    merged = finished(state, several.pair.dtypes, program, several.statistics())
    recipe = {"merge": "fisher", "weights": weights, "above_floor": above}

    def show(console: Console) -> None:
        rows = [(name, f"{share:.1%}") for name, share in above.items()]
        console.table(("model", "#weights with information above the floor"), rows, title="Fisher information")

    return Outcome(f"by Fisher information of {_models(several)}", merged, recipe, show)


def _models(several: Several) -> str:
    return counted(len(several.states), "model")


_YES = {True: "yes", False: "no"}
