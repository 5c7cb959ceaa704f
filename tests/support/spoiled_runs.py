"""Changes of a run as read, each of which makes a tested sentence true or false.

What is changed is what evaluation or training wrote; a function with arguments returns
the change.
"""


def nothing(run):
    """The run says it as it is."""


def result(run, split="test"):
    return run["splits"][split]["result"]


def metric(run, name, value, low=None, high=None, *, kind=None, split="test"):
    """Sets a metric of all classes, or of one."""
    for row in result(run, split)["metrics"]:
        if row["name"] == name and kind in (None, row["class"]):
            if row["value"] is not None:
                row.update(value=value, low=low, high=high)


def bars(run, name, value):
    """Sets what every trivial baseline scores by a metric."""
    for base in result(run)["baselines"]:
        for scores in (base["metrics"], *base.get("classes", {}).values()):
            scores[name] = value


def above(name, value=0.7, low=0.6, **where):
    def change(run):
        bars(run, name, 0.1)
        metric(run, name, value, low, 0.9, **where)

    return change


def of_one_image(run):
    """Leaves one image with foreground behind every score."""
    result(run)["positive_images"] = 1
    for row in result(run)["metrics"]:
        row["support_images"] = 1


def transfer(test, **where):
    def change(run):
        metric(run, "dice_positives", 0.7, 0.6, 0.8, split="validation")
        metric(run, "dice_positives", test, test - 0.1, test + 0.1, **where)

    return change


def curve(values, column="validation/dice_positives"):
    """Sets validation over the 24 epochs."""

    def change(run):
        for i, row in enumerate(run["history"]):
            row[column] = values(i)

    return change


EARLY = curve(lambda i: 0.6 if i == 4 else 0.5)
FLAT = curve(lambda i: 0.5 + 0.001 * (i == 20))
NOISY = curve(lambda i: 0.5 + (0.02 * i if i % 2 else 0.0))
RISING = curve(lambda i: 0.5 + 0.01 * i)


def predicted(where_empty):
    def change(run):
        for row in run["splits"]["test"]["images"]:
            row["predicted_pixels"] = 9 if row["positive"] else where_empty

    return change


def trained(value):
    def change(run):
        EARLY(run)
        curve(lambda i: value, "dice_positives")(run)

    return change


def dead(yes):
    def change(run):
        for row in result(run)["class_table"]:
            row["never_predicted"] = yes and row["class"] == "nodule"

    return change


def ranked(value):
    def change(run):
        for row in result(run)["curves"]["pixel_by_class"]:
            if row["class"] == "nodule":
                row["average_precision"] = value

    return change


def offsets(alone):
    def change(run):
        metric(run, "dice_pooled", 0.6, 0.5, 0.7, kind="mean")
        result(run)["argmax"]["metrics"]["dice_pooled"] = alone

    return change


def objects(name, value, low, high, bar):
    def change(run):
        record = result(run)["objects"]
        row = next(r for r in record["metrics"] if r["name"] == name)
        row.update(value=value, low=low, high=high)
        for base in record["baselines"]:
            base["metrics"][name] = bar

    return change


def of_one_image_with_objects(run):
    for row in result(run)["objects"]["metrics"]:
        row["support_images"] = 1


def one_positive(run):
    result(run)["image_level"]["positives"] = 1


def block(key, value):
    """Sets a block of eval/test.json."""

    def change(run):
        result(run)[key] = value

    return change


def calibrated(before, after):
    levels = [
        {"nll": nll, "nll_error_bound": 1e-3, "ece": 0.1, "of_prevalence": {"nll": 0.3}}
        for nll in (before, after)
    ]
    fitted = {"value": 1.2, "optimistic": False, "source_split": "validation"}
    whole = {"pixel": levels[0], "after_temperature": {"pixel": levels[1]}}
    return block("calibration", whole | {"temperature": fitted})


def conformal(realised):
    record = {"alpha": 0.1, "threshold": 0.3, "images": 12, "needed": 9}
    record |= {"source_split": "validation", "realised": realised}
    return block("conformal", record | {"realised_images": 13})


def stages(value):
    row = {"name": "dice_pooled", "value": value, "low": None, "high": None, "p": 0.01}
    return block("two_stage", {"gain": [row], "pixel_class": "infection"})


def decision(value, low):
    def change(run):
        record = result(run)["image_level"]
        record["baselines"][0]["metrics"]["average_precision"] = 0.3
        for row in record["scores"][0]["metrics"]:
            if row["name"] == "average_precision":
                row.update(value=value, low=low, high=1.0)

    return change


def gain(value):
    def change(run):
        for row in result(run)["image_level"]["gain"]:
            row.update(value=value, low=value - 0.1, high=value + 0.1, p=0.01)

    return change


def accuracy(value, low):
    def change(run):
        record = result(run)["image_classes"]
        for base in record["baselines"]:
            base["metrics"]["accuracy"] = 0.3
        row = next(r for r in record["means"] if r["name"] == "accuracy")
        row.update(value=value, low=low, high=1.0)

    return change


def area(value, low):
    def change(run):
        rows = result(run)["image_classes"]["classes"]
        for i, row in enumerate(rows):
            for each in row["metrics"]:
                if each["name"] == "roc_auc":
                    each.update(value=0.9, low=0.8, high=1.0)
                    if i == 0:
                        each.update(value=value, low=low)

    return change


def answered(second):
    """Sets the confusion; of `second` the images of the second class."""

    def change(run):
        result(run)["image_classes"]["confusion"] = [[9, 0, 0], second, [0, 0, 9]]

    return change


def thresholds(optimistic):
    def change(run):
        for row in result(run)["image_classes"]["classes"]:
            row.update(threshold=0.5, source_split="validation", optimistic=optimistic)

    return change


def softened(after):
    def change(run):
        kept = result(run)["image_classes"]["calibration"]
        kept.update(temperature=1.2, optimistic=False, source_split="validation")
        for key, loss in (("before", 0.5), ("after", after)):
            kept[key] = {"log_loss": loss, "ece": 0.1, "brier": 0.1}

    return change


def labelled(short):
    def change(run):
        budget = {"short_images": {"object": short}, "images": 60}
        run["info"]["supervision"] = budget

    return change


def point(run):
    own = result(run)
    own["operating_point"]["split_hash"] = own["split_hash"]


def scored(**values):
    def change(run):
        result(run)["curves"]["pixel"].update(values)

    return change


def fed(run):
    run["history"][3]["share_realised"] += 0.05


def weighed(run):
    run["info"]["class_weights"]["cross_entropy"][1] *= 2


def skipped(run):
    run["info"]["skipped_steps"] = 3


def other_split(run):
    run["info"]["dataset"]["split_hash"]["test"] = "another"


def chosen_here(run):
    result(run)["objects"]["optimistic"] = True


def flat_iou(value, low):
    return lambda run: metric(run, "iou_pooled", value, low, 0.9)
