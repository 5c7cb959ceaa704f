"""The sentences that a report of a run tests, each with a run in which it is false.

`tests/report/test_every_claim.py` wants a row for every place that says one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from support import fake_image_classes
from support import spoiled_runs as make

F1, BIAS = "object_f1_50", "count_bias"


class Case(NamedTuple):
    """One sentence: where it is said, how to make it true and false, and its words."""

    of: str  # package.module.function below jaxseg/report
    kind: str  # of the run, by the name of its fixture
    true: Callable[[Any], Any]
    false: Callable[[Any], Any]
    passed: str  # begins or tells the sentence where it holds
    failed: str  # is in the sentence where it does not


LOST, KEPT = (fake_image_classes.shortcut(how) for how in ("lost", "kept"))
HIT, MISSED = (fake_image_classes.localisation(hits, 20) for hits in (18, 1))
OF = "run.claims"
TWO, SIX, BEADS, HEADS = "binary", "classes", "beads", "heads"

CASES = [
    Case(
        *(f"{OF}._against_best", TWO, make.above("dice_pooled")),
        make.above("dice_pooled", 0.05, 0.01),
        "The model is above every trivial baseline on `dice_pooled`",
        "is NOT above every trivial baseline on `dice_pooled`",
    ),
    Case(
        *(f"{OF}._against_best", TWO, make.above("dice_pooled"), make.of_one_image),
        "The model is above every trivial baseline on `dice_pooled`",
        "baseline on `dice_pooled` is open, for test has one image with foreground",
    ),
    Case(
        *(f"{OF}._against_baselines", SIX, make.above("dice_pooled")),
        make.above("dice_pooled", 0.0, 0.0, kind="nodule"),
        "By `dice_pooled` on test the model is above every trivial baseline",
        "NOT above: `nodule` 0.000",
    ),
    Case(
        *(f"{OF}.above_prevalence", TWO),
        make.scored(average_precision=0.3, prevalence=0.1),
        make.scored(average_precision=0.1),
        "Pixels are ranked better than by chance",
        "ranked NOT better than by chance",
    ),
    Case(
        *(f"{OF}.detection", TWO, make.predicted(0), make.predicted(9)),
        *("foreground get a prediction more often", "foreground do NOT get a"),
    ),
    Case(
        *(f"{OF}.operating_point", TWO, make.nothing, make.point),
        "was chosen on validation and then applied to test",
        "was chosen on the test images themselves",
    ),
    Case(
        *(f"{OF}.transfer", TWO, make.transfer(0.7), make.transfer(0.4)),
        *("Test agrees with validation on", "Test falls short of validation on"),
    ),
    Case(
        *(f"{OF}.transfer", SIX, make.transfer(0.7), make.transfer(0.4, kind="mass")),
        *("Test agrees with validation on `dice_positives` in", "short: `mass`"),
    ),
    Case(
        *(f"{OF}.convergence", TWO, make.EARLY, make.RISING),
        *("The run was long enough", "The run may have been too short"),
    ),
    Case(
        *(f"{OF}.convergence", TWO, make.FLAT, make.NOISY),
        *("validation no longer improves in its", "show neither a sure rise nor"),
    ),
    Case(
        *(f"{OF}.overfitting", TWO, make.trained(0.61), make.trained(0.7)),
        *("Training is not ahead", "Training IS ahead of validation"),
    ),
    Case(
        *(f"{OF}.sampling", TWO, make.nothing, make.fed),
        *("Sampling fed the share", "Sampling did NOT feed the share"),
    ),
    Case(
        *(f"{OF}.weights", TWO, make.nothing, make.weighed),
        *(") follow from the training pixels", ") do NOT follow from the training"),
    ),
    Case(
        *(f"{OF}.integrity", TWO, make.nothing, make.skipped),
        *("No step was skipped", "3 steps skipped as non-finite"),
    ),
    Case(
        *(f"{OF}.integrity", TWO, make.nothing, make.other_split),
        "The test split that was scored is the one",
        "The test split that was scored is NOT the one",
    ),
    Case(
        *("run.class_claims.claims", SIX, make.dead(yes=False), make.dead(yes=True)),
        *("classes in the truth of test is predicted", "`nodule` is NEVER PREDICTED"),
    ),
    Case(
        *("run.class_curves.claims", SIX, make.ranked(0.5), make.ranked(0.0)),
        *("Pixels of each of 4 classes are ranked", "NOT ranked better than by chance"),
    ),
    Case(
        *("run.class_decision.claims", SIX, make.offsets(0.1), make.offsets(0.9)),
        *("The class offsets are better than", "offsets are NOT better than"),
    ),
    Case(
        *("run.object_claims.against_baselines", BEADS),
        make.objects(F1, 0.9, 0.85, 0.95, 0.1),
        make.objects(F1, 0.05, 0.01, 0.1, 0.1),
        f"The model is above both baselines by its whole interval on `{F1}`",
        "The model is NOT above the baseline",
    ),
    Case(
        *("run.object_claims.against_baselines", BEADS),
        make.objects(F1, 0.9, 0.85, 0.95, 0.1),
        make.of_one_image_with_objects,
        f"The model is above both baselines by its whole interval on `{F1}`",
        "One image decides nothing.",
    ),
    Case(
        *("run.object_claims.unbiased", BEADS),
        make.objects(BIAS, 0.1, -0.5, 0.6, 3.0),
        make.objects(BIAS, 0.1, 0.05, 0.6, 3.0),
        *("No bias of the count", "Counts ARE biased: too many"),
    ),
    Case(
        *(
            "run.object_claims.target",
            BEADS,
            make.flat_iou(0.7, 0.6),
            make.flat_iou(0.3, 0.2),
        ),
        *("IoU of 0.50, is MET by the whole interval", "IoU of 0.50, is NOT met"),
    ),
    Case(
        *("run.object_claims.rule", BEADS, make.nothing, make.chosen_here),
        *("was chosen on validation (`f1_50`", "was chosen on the test images"),
    ),
    Case(
        *("run.two_stage.claims", TWO, make.stages(0.1), make.stages(-0.1)),
        *("Classifying first is better than", "Classifying first is WORSE than"),
    ),
    Case(
        *(
            "run.calibration.claims",
            TWO,
            make.calibrated(0.1, 0.1),
            make.calibrated(0.4, 0.4),
        ),
        *("Pixel probabilities say more", "Pixel probabilities do NOT say more"),
    ),
    Case(
        *(
            "run.calibration.claims",
            TWO,
            make.calibrated(0.2, 0.1),
            make.calibrated(0.2, 0.25),
        ),
        *("temperature 1.200 lowers the pixel", "temperature 1.200 does NOT lower"),
    ),
    Case(
        *("run.conformal.claims", TWO, make.conformal(0.07), make.conformal(0.6)),
        *("of a new image are missed on average", "MORE than promised and too much"),
    ),
    Case(
        *("run.training_labels.claims", TWO, make.labelled(0), make.labelled(3)),
        *("Every training image has", "NOT every training image has"),
    ),
    Case(
        *(
            "run.image_level.claims",
            HEADS,
            make.decision(0.9, 0.8),
            make.decision(0.1, 0.0),
        ),
        "images of test better than one score for all:",
        "images of test NOT better than one score for all",
    ),
    Case(
        *("run.image_level.claims", HEADS, make.decision(0.9, 0.8), make.one_positive),
        "images of test better than one score for all",
        "one score for all, but of one kind there is one image",
    ),
    Case(
        *("run.image_level.claims", HEADS, make.gain(0.2), make.gain(-0.2)),
        *("is above the segmentation alone by", "NOT above the segmentation alone"),
    ),
    Case(
        *("run.evidence._needs_object", TWO),
        *(make.block("shortcut", LOST), make.block("shortcut", KEPT)),
        *("loses its score without the object", "KEEPS its score without"),
    ),
    Case(
        *("run.evidence._looks", TWO),
        *(make.block("localisation", HIT), make.block("localisation", MISSED)),
        *("looks more often than by chance at", "looks NOT more often than by chance"),
    ),
    Case(
        *("run.image_class_claims._above", HEADS),
        *(make.accuracy(0.9, 0.8), make.accuracy(0.2, 0.1)),
        "is above every answer without a model by `accuracy`",
        "is NOT above every answer without a model by `accuracy`",
    ),
    Case(
        *(
            "run.image_class_claims._ranked",
            HEADS,
            make.area(0.9, 0.8),
            make.area(0.4, 0.3),
        ),
        *("Whole images of test are ranked better than by", "NOT better: `"),
    ),
    Case(
        *("run.image_class_claims._never", HEADS),
        *(make.answered([0, 9, 0]), make.answered([9, 0, 0])),
        *("classes that images of test show is the answer", "NEVER the answer on test"),
    ),
    Case(
        *("run.image_class_claims._threshold", HEADS),
        *(make.thresholds(optimistic=False), make.thresholds(optimistic=True)),
        "were chosen on validation and applied to test",
        "were chosen on the test images themselves",
    ),
    Case(
        *(
            "run.image_class_claims._temperature",
            HEADS,
            make.softened(0.4),
            make.softened(0.6),
        ),
        *("lowers the log loss of the classes", "does NOT lower the log loss"),
    ),
]
