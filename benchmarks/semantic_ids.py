"""Quality of semantic IDs: python -m benchmarks.semantic_ids --work FOLDER [--industrial DIR]

On MovieLens-100K and Amazon Industrial, texts only, indexed with starter. Purity: among pairs of items with the same
prefix, the share with the same label (a film's first genre, the first word of a product's brand). It is compared with
the purity of shuffled codes.
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
    """A label of each item of the space. Its text contains it, but the encoder does not know which word it is."""
    label_of = {
        item["item_id"]: (item["text"] or item["title"].rpartition("). ")[2]).replace(",", " ").split(" ")[0]
        for item in log.items
    }
    return np.array([label_of[item_id] for item_id in space.item_ids], dtype=object)


def purity(prefix: NDArray[np.int64], label: NDArray[np.object_]) -> float:
    """Share of pairs with equal labels among pairs with equal prefixes."""
    same = pairs = 0
    for value in np.unique(prefix):
        _, counts = np.unique(label[prefix == value].astype(str), return_counts=True)
        size = counts.sum()
        pairs += size * (size - 1)
        same += int((counts * (counts - 1)).sum())
    return same / pairs if pairs else float("nan")


def prefixes(codes: Codes, levels: int) -> NDArray[np.int64]:
    """A number for each item; items with equal prefixes get equal numbers."""
    return np.asarray(np.unique(codes[:, :levels], axis=0, return_inverse=True)[1])


def unchanged(space: ItemSpace, seed: int) -> tuple[bool, float]:
    """Fit on five sixths of the items and add the rest (20 % more): whether old IDs stay, and uniqueness of all."""
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
    """Codes of plain residual k-means, on whole vectors at every level, for comparison."""
    rest, found = vectors, []
    for level in range(3):
        means = KMeans(codes, n_init=1, max_iter=20, random_state=level).fit(rest)
        found.append(means.labels_)
        rest = rest - means.cluster_centers_[means.labels_]
    return np.stack(found, axis=1).astype(np.int32)


def measure(log: EventLog, work: Path) -> None:
    """Measure one catalogue and print its figures."""
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
    """Measure the catalogues of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the wheel and the databases")
    parser.add_argument("--industrial", type=Path, help="folder of Amazon Industrial")
    arguments = parser.parse_args()
    measure(movielens(arguments.work), arguments.work)
    if arguments.industrial:
        measure(amazon_industrial(arguments.industrial), arguments.work)


if __name__ == "__main__":
    main()
