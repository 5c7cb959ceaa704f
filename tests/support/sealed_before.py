"""A prepared data set as an earlier version left it: without seal and digests."""

import csv
import json
import pathlib


def unseal(directory) -> None:
    """Removes from card.json and index.csv what earlier versions did not write."""
    path = pathlib.Path(directory) / "card.json"
    card = json.loads(path.read_text())
    for key in ("files", "sha256", "content"):
        del card[key]
    path.write_text(json.dumps(card))
    path = path.with_name("index.csv")
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    with open(path, "w", newline="") as file:
        names = [name for name in rows[0] if name != "pixels_sha256"]
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
