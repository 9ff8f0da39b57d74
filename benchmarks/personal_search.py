"""Personal search on simulated clicks, and its time:

    python -m benchmarks.personal_search --work FOLDER [--searches 600]

The catalogue is MovieLens-100K (texts, starter) with the real events of its users; the searches are simulated, since no
public log has items with texts, queries and users. A user searches for two words of the title of the next film that
they rated, and clicks one of the first 30 results: by its place, and with --taste also by its cosine to the earlier
films. With a taste of 0, clicks follow the ranking alone, and the fit must leave searches as they are. The figures
prove that the parts work together. They say nothing about how much real users gain.

Prints the figures of the fit for both kinds of clicks, and the time of searches with a user and without, in one run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import firstsight
from benchmarks.interaction_logs import EventLog, movielens
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.personal_search.interest_boost import interest_cosines
from firstsight.retrieval.ranking.standard_scores import standardised

SHOWN = 30
"""Results that a simulated user looks at."""


def simulate(
    log: EventLog, db: firstsight.Database, space: ItemSpace, count: int, taste: float, seed: int
) -> list[str]:
    """Rows of searches with a click, as JSON lines."""
    rng = np.random.default_rng(seed)
    titles = {row["item_id"]: row["title"] for row in log.items}
    events = log.interactions(space)
    drawn = rng.permutation(np.flatnonzero(events.times > np.quantile(events.times, 0.3)))[:count]
    lines = []
    for row in drawn.tolist():
        words = titles[str(space.item_ids[events.items[row]])].replace(",", " ").split()
        text = " ".join(rng.permutation(words)[:2])
        results = db.search(text, k=SHOWN)
        history = events.history(int(events.users[row])).before(int(events.times[row]))
        if not len(history) or not len(results):
            continue
        ids = [result.item_id for result in results]
        liking = standardised(np.nan_to_num(interest_cosines(space, history, space.places(ids), "mean")))
        utility = -0.1 * np.arange(len(ids)) + taste * liking
        shares = np.exp(utility - utility.max())
        clicked = ids[int(rng.choice(len(ids), p=shares / shares.sum()))]
        user, when = str(events.user_ids[events.users[row]]), int(events.times[row]) // 1_000_000
        lines.append(json.dumps({"user": user, "query": text, "item": clicked, "time": when, "event": "click"}))
    return lines


def milliseconds(db: firstsight.Database, texts: Sequence[str], users: Sequence[str], rounds: int) -> None:
    """Time searches with a user and without, one after the other, so that other load disturbs both alike."""
    with_user: list[tuple[float, float]] = []
    without: list[tuple[float, float]] = []
    db.search(firstsight.Query(texts[0], user=users[0]))  # reads items and events once
    for n in range(rounds):
        text, user = texts[n % len(texts)], users[n % len(users)]
        for query, times in ((firstsight.Query(text), without), (firstsight.Query(text, user=user), with_user)):
            started = time.process_time(), time.perf_counter()
            db.search(query)
            times.append((time.process_time() - started[0], time.perf_counter() - started[1]))
    plain, personal = np.array(without) * 1_000, np.array(with_user) * 1_000
    for place, name in enumerate(("CPU time", "time")):
        gap = np.median(personal[:, place] - plain[:, place])
        print(
            f"{name} of a search: {np.median(plain[:, place]):.2f} ms without a user, "
            f"{np.median(personal[:, place]):.2f} ms with one, median difference {gap:.2f} ms"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of databases")
    parser.add_argument("--searches", type=int, default=600)
    parser.add_argument("--taste", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args(arguments)
    log = movielens(options.work)
    source = Path(log.store(options.work).uri)
    for taste in (0.0, options.taste):
        folder = options.work / f"personal-search-{taste:g}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        with firstsight.open(folder) as db:
            space = ItemSpace.load(log.store(options.work))
            lines = simulate(log, db, space, options.searches, taste, seed=0)
            searches = options.work / f"personal-search-{taste:g}.jsonl"
            searches.write_text("\n".join(lines) + "\n", encoding="utf-8")
            db.events.add(log.write(options.work / "personal-search-files")[1])
            db.events.add(searches)
            started = time.process_time()
            version = db.personal_search.fit()
            print(f"\nsimulated clicks with taste {taste:g}; fit {time.process_time() - started:.0f} s of CPU time")
            print(json.dumps(version.to_dict(), default=str))
            if version.in_use:
                users = sorted({json.loads(line)["user"] for line in lines})
                texts = [json.loads(line)["query"] for line in lines[:50]]
                milliseconds(db, texts, users, options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
