"""From a folder of images to a prediction, in ten cells.

Each cell begins with `# %%`: an editor that knows them (VS Code, Spyder, PyCharm) runs
them one by one, and `python walk_through.py` all at once, in the folder where you are.
It takes a few minutes on a laptop without a GPU. With images of your own, leave out the
first two cells and write your folder for my_cells.
"""

# %% 1. Images and masks
# Two folders of drawings stand in for your images: one to learn from, and one of
# another microscope, for later. An image and its mask have the same name. The masks are
# painted: black is background, red a cell, blue its nucleus. `command` runs one line as
# you would type it.

import pathlib
import shlex
import subprocess

import cv2
import numpy as np


def command(line):
    subprocess.run(shlex.split(line), check=True)


def draw(folder, count, seed, light):
    rng = np.random.default_rng(seed)
    shades = [[light] * 3, [light - 40, light - 80, light - 20], [light - 80] * 3]
    painted = [[0, 0, 0], [255, 0, 0], [0, 0, 255]]
    for k in range(count):
        ids = np.zeros((48, 48), np.uint8)
        for _ in range(3):
            centre, radius = rng.integers(8, 40, 2).tolist(), int(rng.integers(6, 10))
            cv2.circle(ids, centre, radius, 1, -1)
            cv2.circle(ids, centre, 3, 2, -1)
        image = np.array(shades)[ids] + rng.normal(0, 12, (48, 48, 3))
        for name, rgb in (("images", image), ("masks", np.array(painted)[ids])):
            path = pathlib.Path(folder, name, f"cell_{k:02}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), rgb.clip(0, 255).astype(np.uint8)[..., ::-1])


draw("my_cells", 40, seed=0, light=170)
draw("their_cells", 8, seed=1, light=190)

# %% 2. Name the classes
# Masks in colour need the file classes.txt: a line for each class with its colour, the
# background first. Masks that hold class ids (0, 1, 2 ...) need the names alone.

for folder in ("my_cells", "their_cells"):
    pathlib.Path(folder, "classes.txt").write_text(
        "background 0,0,0\ncell 255,0,0\nnucleus 0,0,255\n"
    )

# %% 3. Ask the doctor
# It reads every image and mask and takes a few steps, and it says what would spoil the
# results. Exit code 0 means that you can train; 3 that the data have to be mended, and
# 2 the settings. `recipe` holds them: the folder, and what suits images as small as
# these. For larger ones leave out all but the first line: the recipe has its own.

recipe = """--config=folder --config.data.dir=my_cells \
    --config.data.image_size=48,48 \
    --config.model.name=unet --config.model.unet.widths=16,32 \
    --config.optim.learning_rate=1e-2 --config.optim.warmup_epochs=1 \
    --config.eval.every_epochs=1"""
command(f"python -m jaxseg.doctor {recipe}")

# %% 4. Train
# Six epochs. The images were divided by themselves: 70 % train, 15 % validate (they
# choose the best epoch and the operating point) and 15 % test.

command(f"python -m jaxseg.main {recipe} --config.epochs=6 --workdir=runs/first")

# %% 5. Read the scores
# The run's folder holds report.html, to be looked at, and every number as a file. The
# interval says how far the score could move with other test images.

import json

result = json.loads(pathlib.Path("runs/first/eval/test.json").read_text())
for row in result["metrics"]:
    if row["name"] == "dice_pooled" and row["class"] in ("cell", "nucleus"):
        print(row["class"], row["value"], "from", row["low"], "to", row["high"])

# %% 6. Train on
# Six epochs are few. The same run goes on to nine; its settings lie in its folder. What
# it scored after six, 42 steps, is kept in runs/first/before_42.

command("python -m jaxseg.main --workdir=runs/first --config.epochs=9")

# %% 7. Try something else
# A second run begins with what the first has learned, at a tenth of its learning rate,
# and notes what it is for.

command(
    f"python -m jaxseg.main {recipe} --config.epochs=3 --workdir=runs/second "
    "--config.parent=runs/first --config.optim.learning_rate=1e-3 "
    "--config.note='a lower rate'"
)

# %% 8. Compare
# The report ranks both by their test images, and says whether the difference is more
# than chance: compared/report.html.

command("python -m jaxseg.report runs/first runs/second --output=compared")

# %% 9. Score it elsewhere
# Images of another microscope, at the operating point that was frozen with the run:
# nothing is tuned on them. The run's report gets a section with the difference.

command(
    "python -m jaxseg.evaluate --run=runs/first --data_dir=their_cells --name=other"
)

# %% 10. Predict
# A whole folder by a command: masks of class ids, pictures and predictions.csv, which
# also names the images to look at first. And one image in Python.

command(
    "python -m jaxseg.predict --run=runs/first --input=their_cells/images "
    "--output=predicted"
)

import jaxseg

run = jaxseg.load("runs/first")
image = cv2.imread("their_cells/images/cell_00.png")[..., ::-1]  # as RGB
prediction = run.predict(image)
for label, name in enumerate(run.classes):
    print(name, int((prediction.classes == label).sum()), "pixels")
