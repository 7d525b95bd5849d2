"""Merges by `wsp merge` that are killed at random moments and given again until they end: the same bytes.

    python benchmarks/merge_killed.py [--quick] [--millions N] [--kills N] [--methods NAME ...] [--seed N]
        [--folder PATH] [--json FILE]

Llama-shaped bfloat16 checkpoints (those of `merge_speed.py`) are merged into shards, once undisturbed. Then the command
is given again and again, and killed (SIGKILL) at a random moment between the first byte that it writes and the time
that the whole work took, until there were that many kills; whenever it ends before its moment, its output is compared
and removed, and it begins anew. `last` kills it within the 30 ms after the first small file is seen, while it moves the
finished files to their place: onto nothing, and onto an earlier result in turn. Every output must be the undisturbed
one byte for byte, all its files, with nothing hidden left beside it, and the inputs what they were.

Where kills fell: `in the middle` before all tensors were whole, `with some whole` those of them that left some to go on
from, `all whole` between that and the end of the move, `over` after it. --quick takes one method and a small size.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import options, publish
from merge_speed import OFFLINE, RECIPES, made

LAST = 0.03  # seconds
SHARDS = ("--shard-size", "0.02")


@dataclass
class Task:
    """A merge, and what its output has to be.

    Attributes:
        folder: Where all lies.
        recipe: The recipe.
        output: Where the result goes.
        expected: Digests of the files of the undisturbed run.
        seconds: What the work took there, from the first byte on.
        resumed: Tensors that runs which ended had found whole.
        wrong: Outputs that were not the undisturbed one, or left something.
    """

    folder: Path
    recipe: Path
    output: Path
    expected: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    resumed: int = 0
    wrong: int = 0

    def hidden(self) -> Path | None:
        return next((path for path in self.folder.iterdir() if path.name.endswith(".unfinished")), None)

    def begun(self) -> bool:
        place = self.hidden()
        return place is not None and (place / "journal").exists()

    def finishing(self) -> bool:
        place = self.hidden()
        return place is not None and (place / "files" / "config.json").exists()

    def whole(self) -> int:
        """Tensors that the journal lists."""
        place = self.hidden()
        try:
            return 0 if place is None else (place / "journal").read_bytes().count(b"\n")
        except OSError:
            return 0


def attempt(task: Task, when: Callable[[], bool], after: float) -> bool:
    """Gives the command; kills it some seconds after something was seen. Whether it was killed."""
    command = [sys.executable, "-m", "wsp", "merge", str(task.recipe), "-o", str(task.output), "--json", *SHARDS]
    with (task.folder / "said").open("w+") as said, (task.folder / "errors").open("w+") as errors:
        process = subprocess.Popen(command, stdout=said, stderr=errors, env={**os.environ, **OFFLINE})
        seen = None
        while process.poll() is None:
            if seen is None and when():
                seen = time.perf_counter()
            if seen is not None and time.perf_counter() - seen >= after:
                process.kill()
                process.wait()
                return True
            time.sleep(0.001)
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(errors.read())
        task.seconds = task.seconds or time.perf_counter() - (seen or 0.0)
        said.seek(0)
        task.resumed += json.load(said)["resumed"]
    found = digests(task.output)
    task.expected = task.expected or found
    task.wrong += found != task.expected or task.hidden() is not None
    return False


def digests(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def killed(task: Task, kills: int, draw: random.Random, *, last: bool) -> dict[str, Any]:
    """Kills a merge so many times, and lets it end."""
    total = len(json.loads((task.output / "model.safetensors.index.json").read_text())["weight_map"])
    row = {"kills": 0, "in_the_middle": 0, "some_whole": 0, "all_whole": 0, "over": 0, "ended": 0}
    task.resumed = task.wrong = 0
    shutil.rmtree(task.output)
    while row["kills"] < kills:
        moment = draw.uniform(0, LAST if last else task.seconds)
        if attempt(task, task.finishing if last else task.begun, moment):
            row["kills"] += 1
            whole, over = task.whole(), task.hidden() is None
            row["over"] += over
            row["all_whole"] += not over and whole == total
            row["in_the_middle"] += not over and whole < total
            row["some_whole"] += not over and 0 < whole < total
            if last:
                attempt(task, lambda: False, 0.0)
                row["ended"] += 1
        else:
            row["ended"] += 1
        if task.output.exists() and not (last and row["kills"] % 2):
            shutil.rmtree(task.output)
    attempt(task, lambda: False, 0.0)
    return {**row, "ended": row["ended"] + 1, "resumed_tensors": task.resumed, "same_bytes": task.wrong == 0}


def measure(arguments: Any, folder: Path) -> list[dict[str, Any]]:
    places = made(folder, arguments.millions)
    inputs = {name: digests(place) for name, place in places.items()}
    rows = []
    for method in arguments.methods:
        text = RECIPES[method]
        for name, place in places.items():
            text = text.replace(f": {name}", f": {place}")
        recipe = folder / f"{method}.yml"
        recipe.write_text(text)
        task = Task(folder, recipe, folder / "out")
        attempt(task, task.begun, float("inf"))
        size = sum(path.stat().st_size for path in task.output.iterdir())
        draw = random.Random(arguments.seed)
        for last in (False, True):
            row = killed(task, arguments.kills, draw, last=last)
            rows.append({
                "method": method, "moments": "last" if last else "any", "output_bytes": size,
                "work_seconds": task.seconds, **row, "inputs_unchanged": inputs == {
                    name: digests(place) for name, place in places.items()
                },
            })  # fmt: skip
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)  # the whole takes a while
        shutil.rmtree(task.output)
    return rows


COLUMNS = {
    "method": "method", "moments": "moments", "output_bytes": "output, bytes", "work_seconds": "work, s",
    "kills": "kills", "in_the_middle": "in the middle", "some_whole": "with some whole", "all_whole": "all whole",
    "over": "over", "ended": "runs that ended",
    "resumed_tensors": "tensors found whole", "same_bytes": "same bytes", "inputs_unchanged": "inputs unchanged",
}  # fmt: skip


def main() -> None:
    parser = options("Kill and resume streamed merges.")
    parser.add_argument("--millions", type=int, default=250, metavar="N", help="parameters: 25, 250 or 1000 (250)")
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="of each kind (20)")
    parser.add_argument("--methods", nargs="+", default=["linear", "ties"], metavar="NAME", help="linear and ties")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments")
    parser.add_argument("--folder", type=Path, default=None, metavar="PATH", help="where the checkpoints go")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.millions, arguments.kills, arguments.methods = 25, 3, ["linear"]
    folder = Path(tempfile.mkdtemp(prefix="merge-killed-", dir=arguments.folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:
        rows = measure(arguments, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    summary = {
        "kills": sum(row["kills"] for row in rows), "in_the_middle": sum(row["in_the_middle"] for row in rows),
        "same_bytes": all(row["same_bytes"] for row in rows),
        "inputs_unchanged": all(row["inputs_unchanged"] for row in rows),
    }  # fmt: skip
    publish("Streamed merges, killed and resumed", COLUMNS, rows, summary, arguments)


if __name__ == "__main__":
    main()
