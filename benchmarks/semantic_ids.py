"""What semantic IDs keep of what they promise: python -m benchmarks.semantic_ids --work FOLDER [--industrial DIR]

On MovieLens-100K and Amazon Industrial, texts alone, indexed with starter. Purity: the share of pairs of items with the
same prefix that share a label (a film's first genre, the first word of a product's brand), beside the same with the
codes shuffled.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from benchmarks.interaction_logs import EventLog, amazon_industrial, movielens
from firstsight.encoders.base import Vectors
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.semantic_ids.codebooks import Codebooks
from firstsight.recommend.semantic_ids.codes import Codes, count_copies, uniqueness


def labels(log: EventLog, space: ItemSpace) -> NDArray[np.object_]:
    """A label of each item of the space, that its vector was not told apart from the rest of its text."""
    of = {
        item["item_id"]: (item["text"] or item["title"].rpartition("). ")[2]).replace(",", " ").split(" ")[0]
        for item in log.items
    }
    return np.array([of[item_id] for item_id in space.item_ids], dtype=object)


def purity(prefix: NDArray[np.int64], label: NDArray[np.object_]) -> float:
    """The share of pairs with one prefix that have one label."""
    same = pairs = 0
    for one in np.unique(prefix):
        _, counts = np.unique(label[prefix == one].astype(str), return_counts=True)
        size = counts.sum()
        pairs += size * (size - 1)
        same += int((counts * (counts - 1)).sum())
    return same / pairs if pairs else float("nan")


def prefixes(codes: Codes, levels: int) -> NDArray[np.int64]:
    """One number for each prefix."""
    return np.asarray(np.unique(codes[:, :levels], axis=0, return_inverse=True)[1])


def unchanged(space: ItemSpace, seed: int) -> tuple[bool, float]:
    """Fit on five sixths of the items, add the rest (20 % more): whether the old IDs stay, and uniqueness of all."""
    order = np.random.default_rng(seed).permutation(len(space))
    old, new = np.sort(order[: len(space) * 5 // 6]), np.sort(order[len(space) * 5 // 6 :])
    books = Codebooks.fit(space.vectors[old], seed=seed)
    before = books.encode(space.vectors[old])
    copies = count_copies(before)
    both = books.encode(space.vectors[np.concatenate([old, new])])
    later = count_copies(both[len(old) :], before)
    whole = np.column_stack([both, np.concatenate([copies, later])])
    distinct = len(np.unique(whole, axis=0)) == len(space)
    return bool((both[: len(old)] == before).all() and distinct), uniqueness(both)


def plain(vectors: Vectors, codes: int) -> Codes:
    """Codes of residual k-means on whole vectors at every level, to compare with."""
    rest, found = vectors, []
    for level in range(3):
        means = KMeans(codes, n_init=1, max_iter=20, random_state=level).fit(rest)
        found.append(means.labels_)
        rest = rest - means.cluster_centers_[means.labels_]
    return np.stack(found, axis=1).astype(np.int32)


def measure(log: EventLog, work: Path) -> None:
    """Print the figures of one catalogue."""
    space = ItemSpace.load(log.store(work))
    label = labels(log, space)
    start = time.perf_counter()
    books = Codebooks.fit(space.vectors)
    fitted = time.perf_counter() - start
    codes = books.encode(space.vectors)
    print(f"\n{log.name}: {len(space):,} items, 3 levels of {books.codes}, fitted in {fitted:.1f} s")
    print(f"  unique before the last number   {uniqueness(codes):.1%}; most alike {count_copies(codes).max() + 1}")
    print(f"  by plain residual k-means       {uniqueness(plain(space.vectors, books.codes)):.1%}")
    print(f"  left over after each level      {' '.join(f'{error:.3f}' for error in books.errors)}")
    draw = np.random.default_rng(0)
    for levels in (1, 2):
        prefix = prefixes(codes, levels)
        shuffled = [purity(draw.permutation(prefix), label) for _ in range(5)]
        print(
            f"  purity of {levels}-level prefixes      {purity(prefix, label):.3f}; shuffled {np.mean(shuffled):.3f} "
            f"(at most {max(shuffled):.3f}); {len(np.unique(prefix))} prefixes"
        )
    for seed in range(3):
        stayed, unique = unchanged(space, seed)
        print(
            f"  20 % more items, seed {seed}        old IDs {'unchanged' if stayed else 'CHANGED'}; unique {unique:.1%}"
        )


def main() -> None:
    """Measure the catalogues that are given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="keeps the wheel and the databases")
    parser.add_argument("--industrial", type=Path, help="folder of Amazon Industrial")
    asked = parser.parse_args()
    measure(movielens(asked.work), asked.work)
    if asked.industrial:
        measure(amazon_industrial(asked.industrial), asked.work)


if __name__ == "__main__":
    main()
