"""Index a catalogue, and search it by text, by picture and by the vector of an item.

python examples/index_and_search.py [DB]
"""

from __future__ import annotations

import sys
from pathlib import Path

import firstsight

SAMPLE = Path(__file__).parent.parent / "sample_media"


def main(folder: str) -> None:
    with firstsight.open(folder) as db:
        report = db.index(SAMPLE / "catalogue.csv")
        print(f"{report.counts.encoded} items encoded, {report.counts.unchanged} unchanged")

        print("\nred running shoes, below 100")
        for result in db.search("red running shoes", k=3, where="price < 100"):
            print(f"  {result.score:.3f}  {result.title}")

        print("\nby a picture of a guitar")
        for result in db.search(image=SAMPLE / "queries" / "guitar.jpg", k=3):
            print(f"  {result.score:.3f}  {result.title}")

        print("\nby the vector of an item")
        vector = db.get("guitar-acoustic").vector
        assert vector is not None  # only an item that could not be encoded has none
        results = db.search(vector=vector, k=3)
        print(results.to_pandas()[["item_id", "score", "price"]].to_string(index=False))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "examples-db")
