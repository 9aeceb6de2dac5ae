"""Page metrics as a notebook would plot them: clicks over time, and the pages with the most users. Each `# %%` is a cell.

pip install matplotlib; python examples/plot_page_metrics.py out/page_metrics.db metrics.png
"""

# %% The rows, as the embedded job leaves them; for MySQL take its connection instead
import json
import sqlite3
import sys
from collections import defaultdict
from datetime import datetime

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

database, picture = sys.argv[1:]
with sqlite3.connect(database) as connection:
    connection.row_factory = sqlite3.Row
    rows = connection.execute("SELECT * FROM page_metrics ORDER BY window_start").fetchall()

# %% Clicks add up over pages and countries; users don't, but their hashes do, as sets: exact while no row had more than it keeps
clicks, hashes = defaultdict(int), defaultdict(set)
for row in rows:
    clicks[datetime.fromisoformat(row["window_start"])] += row["clicks"]
    hashes[row["url"]] |= set(json.loads(row["users_sketch"] or "[]"))
most = sorted(hashes, key=lambda url: len(hashes[url]))[-10:]

# %% Two charts
figure, (over_time, pages) = plt.subplots(2, figsize=(9, 8), layout="constrained")
over_time.step([*clicks], [*clicks.values()], where="post")
over_time.set(title="Clicks a window (UTC)", ylim=0)
bars = pages.barh([url.split("//")[-1] for url in most], [len(hashes[url]) for url in most])
pages.bar_label(bars)
pages.set(title="Users a page")
figure.savefig(picture)
print(f"{sum(clicks.values())} clicks in {len(clicks)} windows, {len(hashes)} pages: {picture}")
