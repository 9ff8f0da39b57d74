"""Speed and quality of slates: python -m benchmarks.slates --work FOLDER [--industrial DIR] [--only PART …]

Parts: latency (100,000 items x 384, a user of 100 events, one core), new (new users of MovieLens-100K by their first
k events, three seeds), interests (several interests against the mean profile), planted (an old interest; a switch),
random (10,000 slates: ended live streams, quotas, the share of exploration). MovieLens texts are encoded with starter.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.interaction_logs import amazon_industrial, movielens
from firstsight.recommend.evaluation.measures import coverage, difference, rank, recall
from firstsight.recommend.evaluation.protocols import Split, user_cold
from firstsight.recommend.events.interactions import DAY_US, History, Interactions
from firstsight.recommend.items import NEVER, ItemSpace, Places
from firstsight.recommend.models.baselines import MeanProfile, Popularity
from firstsight.recommend.semantic_ids.clusters import Clusters, assign_clusters
from firstsight.recommend.slates.interests.interest_ranking import InterestRecommender
from firstsight.recommend.slates.interests.interests import InterestSettings
from firstsight.recommend.slates.rules.slate_settings import SlateSettings
from firstsight.recommend.slates.slate_candidates import candidate_pool
from firstsight.recommend.slates.slate_composer import SlateComposer
from firstsight.recommend.slates.slate_maker import SlateMaker

NOW = 1_790_000_000_000_000
DIM = 384
PARTS = ("latency", "new", "interests", "planted", "random")
KINDS = np.array(["product", "video", "live"], dtype=object)
PLAIN = SlateSettings(explore=0.0)


def topical_space(items: int, topics: int, seed: int = 0) -> tuple[ItemSpace, Places]:
    """Items around topics (cosine .5 within one) with a spectrum that falls like an encoder's, and their topics."""
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, DIM + 1) ** -0.5
    centres = rng.normal(size=(topics, DIM)) * spectrum
    topic = np.sort(rng.integers(0, topics, items))
    vectors = np.empty((items, DIM), dtype=np.float32)
    for start in range(0, items, 20_000):
        part = topic[start : start + 20_000]
        rows = centres[part] + rng.normal(size=(len(part), DIM)) * spectrum
        vectors[start : start + len(part)] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    kinds = KINDS[rng.choice(3, items, p=[0.6, 0.35, 0.05])]
    expires = np.where((kinds == "live") & (rng.random(items) < 0.7), NOW - 1, NEVER)
    return ItemSpace.of([f"i{n:07}" for n in range(items)], vectors, kinds=kinds, expires=expires), topic


def history_on(topic: Places, topics: list[int], days_ago: list[float], rng: np.random.Generator) -> History:
    """An event on a random item of each topic, at a number of days before now."""
    order = np.argsort(-np.array(days_ago), kind="stable")
    starts, ends = np.searchsorted(topic, topics), np.searchsorted(topic, topics, side="right")
    places = rng.integers(starts, ends) if topics else np.zeros(0, dtype=np.int64)
    return History.of(places[order], (NOW - np.array(days_ago)[order] * DAY_US).astype(np.int64))


def latency() -> None:
    """Measure the milliseconds of a slate, from a history in memory to its slots."""
    space, topic = topical_space(100_000, 300)
    rng = np.random.default_rng(1)
    users, events = 20_000, 1_000_000
    names = np.array([f"u{n:05}" for n in range(users)], dtype=object)
    items = (rng.beta(0.5, 3, events) * len(space)).astype(np.int64)
    times = NOW - rng.integers(0, 90 * DAY_US, events)
    everybody = Interactions.of(space, names[rng.integers(0, users, events)], items, times)
    start = time.perf_counter()
    maker = SlateMaker(space, everybody, clusters=Clusters(space, assign_clusters(space)))
    maker.slate(everybody.history(0), SlateSettings(), now_us=NOW, rng=rng)
    print(f"loaded from memory in {time.perf_counter() - start:.1f} s: {len(space):,} items, {len(everybody):,} events")
    histories = [
        history_on(topic, rng.choice(rng.choice(300, 5), 100).tolist(), (90 * rng.random(100)).tolist(), rng)
        for _ in range(60)
    ]
    quotas = {"product": 0.5, "video": 0.3, "live": 0.2}
    for name, settings in (("plain", SlateSettings()), ("quotas", SlateSettings(quotas=quotas, diversity=0.2))):
        times_ms = []
        for history in histories:
            start, busy = time.perf_counter(), time.process_time()
            maker.slate(history, settings, now_us=NOW, rng=rng)
            times_ms.append((1000 * (time.perf_counter() - start), 1000 * (time.process_time() - busy)))
        for clock, values in zip(("elapsed", "of the processor"), zip(*times_ms, strict=True), strict=True):
            middle, late = np.quantile(values, [0.5, 0.95])
            print(f"{name}, {clock}: median {middle:.1f} ms, 95 % within {late:.1f} ms, best {min(values):.1f} ms")
    composed = [_composition_ms(maker, history, rng) for history in histories]
    for name, figures in zip(("composition", "exploration"), zip(*composed, strict=True), strict=True):
        print(f"{name} beyond ranking and candidates, of the processor: median {np.median(figures):.2f} ms")


def rank_users(split: Split, maker: SlateMaker, k: int) -> NDArray[np.int64]:
    """Rank the k best items of each user by the ranking behind slates: (users, k) rows."""
    scores = maker.recommender.scores(split.histories, split.candidates)
    for row, history in zip(scores, split.histories, strict=True):
        row[np.searchsorted(split.candidates, history.items)] = -np.inf
    return rank(scores, split.candidates, k)


def _composition_ms(maker: SlateMaker, history: History, rng: np.random.Generator) -> tuple[float, float]:
    """Milliseconds of the processor to fill the slots from given candidates, and to explore."""
    settings = SlateSettings()
    ranking, allowed = maker.rank(history, NOW), maker.allowed(history, settings, NOW)
    pool = candidate_pool(ranking, allowed, maker.recommender.kinds, settings)
    composer = SlateComposer(maker.space, maker.recommender.kinds, ranking, allowed, settings)
    start = time.process_time()
    with patch("firstsight.recommend.slates.slate_composer.candidate_pool", lambda *_, **__: pool):
        composer.fill()
    middle = time.process_time()
    maker.policy(history, settings, now_us=NOW).draw(rng)
    whole = time.process_time() - middle
    start_plain = time.process_time()
    maker.policy(history, PLAIN, now_us=NOW).draw(rng)
    return 1000 * (middle - start), 1000 * (whole - (time.process_time() - start_plain))


def new_users(work: Path) -> None:
    """Measure recall@20 and coverage for new users: the ranking and whole slates, against popularity and content."""
    log = movielens(work)
    space = ItemSpace.load(log.store(work))
    events = log.interactions(space)
    grouped = Clusters(space, assign_clusters(space))
    print("k   model        recall@20  of popularity  coverage")
    for k in (1, 5, 10):
        figures: dict[str, list[tuple[float, float]]] = {}
        for seed in range(3):
            split = user_cold(events, first=k, seed=seed, min_events=20)
            maker = SlateMaker(space, split.train, clusters=grouped)
            popularity, mean = Popularity(), MeanProfile()
            for model in (popularity, mean):
                model.fit(split.train)
            slates = np.full((len(split.histories), 20), -1, dtype=np.int64)
            for n, history in enumerate(split.histories):
                slots, _ = maker.slate(history, PLAIN, now_us=NOW, rng=np.random.default_rng(n))
                slates[n, : len(slots)] = [slot.place for slot in slots]
            ranked = {
                "popularity": split.rank(popularity, 20),
                "content": split.rank(mean, 20),
                "ranking": rank_users(split, maker, 20),
                "slate": slates,
            }
            for name, places in ranked.items():
                hits = recall(places, split.targets) * [len(target) / min(20, len(target)) for target in split.targets]
                figures.setdefault(name, []).append((float(np.mean(hits)), coverage(places, split.candidates)))
        base = np.mean(figures["popularity"], axis=0)[0]
        for name, pairs in figures.items():
            found, covered = np.mean(pairs, axis=0)
            print(f"{k:<3} {name:<12} {found:9.3f}  {found / base:13.1%}  {covered:8.3f}")


def interests(work: Path, industrial: Path | None) -> None:
    """Compare several interests with the mean profile by content alone; half of each user's events are known."""
    for log, min_events in ((movielens(work), 20), (amazon_industrial(industrial) if industrial else None, 8)):
        if log is None:
            continue
        space = ItemSpace.load(log.store(work))
        events = log.interactions(space)
        histories, targets = [], []
        for known in events.histories():
            half = len(known) // 2
            first = known.first(half).last(100)
            target = np.setdiff1d(known.items[half:], first.items)
            if len(known) >= min_events and len(target):
                histories.append(first)
                targets.append(target)
        every = np.arange(len(space), dtype=np.int64)
        spread = np.array(
            [1 - np.linalg.norm(space.vectors[np.unique(history.items)].mean(axis=0)) for history in histories]
        )
        diverse = spread >= np.quantile(spread, 0.75)
        per_user = []
        for model in (InterestRecommender(space, clusters=Clusters(space, assign_clusters(space))), MeanProfile()):
            if isinstance(model, MeanProfile):
                model.fit(events.where(np.zeros(len(events), dtype=bool)))
            scores = np.array(model.scores(histories, every), dtype=np.float32)
            for row, history in enumerate(histories):
                scores[row, history.items] = -np.inf
            per_user.append(recall(rank(scores, every, 20), targets))
        for name, part in (("most diverse quarter", diverse), ("the others", ~diverse)):
            gain = difference(per_user[0][part], per_user[1][part])
            print(
                f"{log.name}, {name}: {per_user[0][part].mean():.4f}, mean profile {per_user[1][part].mean():.4f}, "
                f"difference {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}], {gain.users} users"
            )


def planted() -> None:
    """Plant an interest last seen 90 days ago, and a switch of interest some events ago."""
    space, topic = topical_space(20_000, 200)
    grouped = Clusters(space, assign_clusters(space))
    maker = SlateMaker(space, clusters=grouped)
    short = SlateMaker(space, interest_settings=InterestSettings(max_lasting=0))
    rng = np.random.default_rng(2)
    figures: tuple[list[tuple[bool, bool]], ...] = ([], [])
    for _ in range(200):
        old, *now = rng.choice(200, 5, replace=False).tolist()
        days = [90 + 30 * rng.random() for _ in range(5)] + (30 * rng.random(80)).tolist()
        history = history_on(topic, [old] * 5 + rng.choice(now, 80).tolist(), days, rng)
        for model, shares in ((maker, figures[0]), (short, figures[1])):
            slots, ranking = model.slate(history, PLAIN, now_us=NOW, rng=rng)
            candidates = candidate_pool(ranking, model.allowed(history, PLAIN, NOW), model.recommender.kinds, PLAIN)
            shares.append(((topic[candidates] == old).sum() >= 10, old in topic[[slot.place for slot in slots]]))
    for name, shares in zip(("several interests", "recent events alone"), figures, strict=True):
        found, shown = np.mean(shares, axis=0)
        print(f"an interest unseen for 90 days, by {name}: ten of its items are among the candidates of {found:.1%},")
        print(f"  one of them in the slates of 20 of {shown:.1%} of users")
    for after in (0, 1, 2, 3, 5):
        followed = []
        for _ in range(100):
            new, *before = rng.choice(200, 4, replace=False).tolist()
            days = (1 + 60 * rng.random(80)).tolist() + [0.001 * (after - n) for n in range(after)]
            history = history_on(topic, rng.choice(before, 80).tolist() + [new] * after, days, rng)
            slots, _ = maker.slate(history, PLAIN, now_us=NOW, rng=rng)
            followed.append(np.mean(topic[[slot.place for slot in slots[:10]]] == new))
        print(f"{after} events after a switch: {np.mean(followed):.0%} of the top ten, at least {min(followed):.0%}")


def random_slates(count: int = 10_000) -> None:
    """Make slates with random settings: count violations, and check the averages."""
    space, topic = topical_space(2_000, 60)
    maker = SlateMaker(space, clusters=Clusters(space, assign_clusters(space)))
    rng = np.random.default_rng(3)
    ended = short = wrong = repeated = 0
    explored: dict[float, list[float]] = {}
    open_live = int(((space.kinds == "live") & space.showable(NOW)).sum())
    for n in range(count):
        size = int(rng.integers(0, 30))
        history = history_on(topic, rng.choice(60, size).tolist(), (100 * rng.random(size)).tolist(), rng)
        quotas = {"live": int(rng.integers(0, 4)), "video": int(rng.integers(0, 8))}
        share = float(rng.choice([0.05, 0.1, 0.2]))
        settings = SlateSettings(k=20, quotas=quotas, explore=share, diversity=float(rng.choice([0.0, 0.3])))
        slots, _ = maker.slate(history, settings, now_us=NOW, rng=np.random.default_rng(n))
        places = np.array([slot.place for slot in slots])
        kinds = space.kinds[places].tolist()
        ended += int((space.expires[places] <= NOW).sum())
        short += len(slots) < 20
        wrong += any(kinds.count(kind) != quota for kind, quota in quotas.items())
        repeated += bool(np.isin(places, history.items).any()) or len(set(places.tolist())) < len(places)
        explored.setdefault(share, []).append(float(np.mean([slot.explore for slot in slots])))
    print(f"{count:,} slates, {open_live} live streams open: {ended} items ended, {wrong} quotas not exact, ", end="")
    print(f"{short} slates short, {repeated} with an item again")
    for share, shares in sorted(explored.items()):
        print(f"exploration share {share:.0%}: {np.mean(shares):.2%} of slots")


def run(parts: list[str], work: Path, industrial: Path | None) -> Iterator[str]:
    """Measure the parts one by one."""
    for part in parts:
        yield part
        if part == "latency":
            latency()
        elif part == "new":
            new_users(work)
        elif part == "interests":
            interests(work, industrial)
        elif part == "planted":
            planted()
        else:
            random_slates()


def main() -> None:
    """Measure the parts of the command line and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for downloads and databases")
    parser.add_argument("--industrial", type=Path, help="folder of Amazon Industrial's items.csv and interactions.csv")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    arguments = parser.parse_args()
    with threadpool_limits(1):
        for part in run(arguments.only, arguments.work, arguments.industrial):
            print(f"# {part}")


if __name__ == "__main__":
    main()
