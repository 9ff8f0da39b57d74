# %% [markdown]
# # A tour of the embeddings of a shop
# Each cell runs alone in an editor that knows `# %%` cells (VS Code, PyCharm, Spyder, Jupyter with Jupytext).
# As a program: python examples/embeddings_tour.py [DB]

# %% Index the sample catalogue: one vector for each item, and one for each picture, frame and title
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

import firstsight

SAMPLE = Path(__file__).parent.parent / "sample_media"
db = firstsight.open(sys.argv[1] if len(sys.argv) > 1 else "examples-db")
db.index(SAMPLE / "catalogue.csv")
print(db)

# %% All vectors as one matrix; the rows have unit length, so a product of two rows is their cosine
item_ids, matrix = db.vectors()
print(f"{len(item_ids)} items, {matrix.shape[1]} numbers each, length {np.linalg.norm(matrix[0]):.3f}")

# %% The nearest neighbours of one item
place = list(item_ids).index("guitar-acoustic")
cosines = matrix @ matrix[place]
for n in np.argsort(-cosines)[1:4]:
    print(f"{cosines[n]:.3f}  {item_ids[n]}")

# %% A text is a point in the same space
texts = ["a musical instrument", "something to drink from", "shoes"]
for text, scores in zip(texts, db.encoder.encode_texts(texts) @ matrix.T, strict=True):
    print(f"{text}: {item_ids[int(np.argmax(scores))]}")

# %% How much of the variance do few directions hold? (PCA by a singular value decomposition)
spectrum = np.linalg.svd(matrix - matrix.mean(axis=0), compute_uv=False) ** 2
for count in (2, 10, 50):
    print(f"{count} directions hold {spectrum[:count].sum() / spectrum.sum():.0%}")

# %% Plot the items with UMAP: similar items are close together
method: Literal["umap", "tsne"] = "umap" if find_spec("umap") else "tsne"
if method == "tsne":
    print("umap-learn is not installed, so t-SNE draws the plot: pip install 'firstsight[umap]'")
space = db.evaluation.space_map(method=method, color_by="category")
db.evaluation.write_space_map("embeddings.html", space)
print(f"{len(space.points)} items by {method} in embeddings.html; open it in a browser")
