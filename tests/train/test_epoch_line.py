"""An epoch is one line, and why a run ended early is one sentence."""

from support import runs

from jaxseg.train import epoch_line

ROW = {"epoch": 3, "step": 12, "loss": 0.5234, "seconds": 12.4, "skipped_steps": 0}
ROW |= {"images_per_second": 21.3, "validation/loss": 0.6111}
ROW |= {"validation/dice_pooled": 0.8123}
BEST = {"step": 8, "epoch": 2, "value": 0.8381, "metric": "validation/dice_pooled"}


def test_a_line_says_both_losses_the_score_the_best_and_what_was_saved():
    line = epoch_line.text(ROW, BEST, epochs=30, metric="dice_pooled")
    assert line == (
        "epoch 3/30  loss 0.523  val loss 0.611  val dice_pooled 0.812 "
        "(best 0.838 @2)  21 images/s  12 s  saved step 12"
    )
    best = BEST | {"step": 12, "epoch": 3}
    line = epoch_line.text(ROW, best, epochs=30, metric="dice_pooled", name="seed1")
    assert line.startswith("seed1: epoch 3/30") and line.endswith("12 as the best")


def test_an_epoch_without_validation_says_nothing_of_it():
    row = {k: v for k, v in ROW.items() if "validation" not in k}
    row |= {"skipped_steps": 2, "loss": None}
    line = epoch_line.text(row, None, epochs=3, metric="dice_pooled", saved=False)
    assert line == (
        "epoch 3/3  loss n/a  21 images/s  12 s  2 steps skipped, not finite"
    )
    undefined = row | {"validation/dice_pooled": None}
    line = epoch_line.text(undefined, None, epochs=3, metric="dice_pooled")
    assert "val dice_pooled n/a  " in line


def test_an_early_end_says_when_and_why():
    config = runs.config("pneumothorax", **{"eval.patience": 5})
    why = epoch_line.early_stop(config, BEST, step=28, total=120)
    assert why["step"] == 28 and why["patience"] == 5 and why["best_epoch"] == 2
    assert why["words"] == (
        "stopped early after step 28 of 120: validation/dice_pooled was not above the "
        "0.8381 of epoch 2 since then (config.eval.patience=5)"
    )
    assert epoch_line.early_stop(config, BEST, step=120, total=120) is None
    nothing = epoch_line.early_stop(config, None, step=28, total=120)
    assert "was never defined" in nothing["words"]
