"""What a run with a decision head writes of whole images, beside a run of `fake_run`.

The head scores images by noise about the truth; every number is computed from these
scores by `evaluation.image_level`, as for a real run.
"""

import csv
import json
import types

import numpy as np

from jaxseg.evaluation import image_level

HASH = "validation-hash-0123456789"


def add(root, *, seed=0, noise=0.2, head=True):
    """Adds the image level to a run, returns it; worse with more noise."""
    frozen = None
    for split in ("validation", "test"):
        path, table = root / f"eval/{split}.json", root / f"eval/{split}_per_image.csv"
        result = json.loads(path.read_text())
        with open(table, newline="") as file:
            rows = list(csv.DictReader(file))
        rng = np.random.default_rng([seed, len(split)])
        truth = np.array([int(row["positive"]) for row in rows])
        score = np.clip(0.3 + 0.4 * truth + noise * rng.normal(size=len(truth)), 0, 1)
        tally = types.SimpleNamespace(
            index=np.arange(len(rows)),
            shows=truth,
            pixels=np.ones(len(rows)),
            image_score=np.float32(score if head else np.full(len(rows), np.nan)),
            max_probability=np.array(
                [np.float32(row["max_probability"]) for row in rows]
            ),
        )
        groups = [row.get("group") or row["id"] for row in rows]
        own = HASH if split == "validation" else "other"
        facts = types.SimpleNamespace(name=split, hash=own, groups=groups)
        frozen = frozen or image_level.choose(tally, facts)
        block = image_level.assemble(tally, frozen, facts, resamples=60)
        path.write_text(json.dumps(result | {"image_level": block}, indent=1))
        for name, values in image_level.columns(tally, frozen).items():
            for row, value in zip(rows, values, strict=True):
                row[name] = value
        with open(table, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return root
