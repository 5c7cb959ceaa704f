"""The blocks of base.py about learning: the optimizer, and what stays as it is."""

from typing import Any


def optim() -> dict[str, Any]:
    """How parameters are changed by a step."""
    return {
        "name": "adamw",  # adam, sgd with Nesterov momentum, lion; or any of optax
        "fields": {},  # further arguments of it, such as b2=0.95; of sgd nesterov=False
        "learning_rate": 1e-3,  # the highest of the schedule
        "weight_decay": 0.05,  # of sgd coupled, L2: 3e-5 say
        "momentum": 0.99,  # of sgd
        "warmup_epochs": 1.0,  # in which the rate rises from 0
        "warmup_steps": -1,  # in place of warmup_epochs; -1 = as many as those have
        # or "poly": (1 - t / T) ** power; "constant"; "plateau": lower when validation
        # stalls
        "schedule": "cosine",
        "power": 0.9,  # of poly
        "final_scale": 0.0,  # of the learning rate, at the end of the schedule
        "plateau": {  # of the metric of validation, config.eval.metric
            "factor": 0.5,  # times the rate ...
            "patience": 10,  # ... after so many epochs without a better one
            "threshold": 1e-4,  # a better one is more than this above the best
            "min_rate": 1e-6,
        },
        "clip_norm": 1.0,  # 0 = do not clip
        "clip_each": False,  # True: each tensor at that norm, not all together
        "accumulate": 1,  # micro-batches a step
        "ema": 0.0,  # decay, after a warm-up, of the evaluated average; 0 = none
        "bad_steps": 10,  # non-finite steps in a row before training stops
    }


def transfer() -> dict[str, Any]:
    """Patterns are of paths such as "encoder/layer1_0/conv1/kernel"; * crosses "/"."""
    return {
        "freeze": (),  # patterns of parameters that stay as they are: ("encoder/*",)
        "frozen_until": 0,  # optimizer steps after which they learn; 0 = never
        "freeze_norm": (),  # patterns of batch norms that keep their statistics
        "encoder_scale": 1.0,  # times the learning rate
        "decoder_scale": 1.0,
        "layer_decay": 1.0,  # of the rate, from each block of the encoder to the last
    }
