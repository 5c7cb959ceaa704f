"""TensorBoard shows loss and validation before clocks, and HPARAMS test before all."""

from jaxseg.train import tags

ROW = {"epoch": 2, "images_seen": 8, "grad_norm": 1.5, "loss": 0.5, "loss/dice": 0.4}
ROW |= {"data_wait_share": 0.1, "validation/dice_pooled": 0.7, "validation/loss": None}


def test_loss_and_validation_come_before_clocks_and_counters():
    named = tags.of_epoch(ROW)
    assert sorted(named) == [
        "loss",
        "loss/dice",
        "validation/dice_pooled",
        "watch/data_wait_share",
        "watch/epoch",
        "watch/grad_norm",
        "watch/images_seen",
    ]
    assert named["loss"] == 0.5 and named["watch/epoch"] == 2


def test_the_scores_of_test_are_the_first_columns_of_all():
    scores = tags.of_test({"dice_pooled": 0.5, "iou_pooled": None})
    assert scores == {"best/test/dice_pooled": 0.5}
    assert min([*scores, *tags.of_epoch(ROW)]) == "best/test/dice_pooled"
