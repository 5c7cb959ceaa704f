"""Writes the weights of a finished run: python -m jaxseg.export --run=runs/ptx.

`--format=safetensors` uses the names that others publish under (Hugging Face's for
swin_upernet, torchvision's for the encoder of resnet_unet, the published ones for that
of efficientnet_unet), so their classes read them; `--format=jaxseg` uses our own for
everything, for `--config.pretrained.path`. No data is needed; nothing is overwritten.
"""

import pathlib

from absl import flags, logging

from jaxseg.config import command_line

RUN = flags.DEFINE_string("run", "", "Run directory.")
FORMAT = flags.DEFINE_enum(
    "format", "safetensors", ["safetensors", "jaxseg"], "Whose names the file has."
)
OUTPUT = flags.DEFINE_string("output", "", "File; by default in the run directory.")


def main(argv) -> int:
    logging.set_verbosity(logging.INFO)
    if not RUN.value:
        command_line.fail(
            "name the run, for example --run=runs/ptx", command_line.BAD_CONFIG
        )
    from jaxseg.experiment import finished_run, processes
    from jaxseg.weights import save

    run = pathlib.Path(RUN.value)
    path = pathlib.Path(OUTPUT.value or run / f"{FORMAT.value}.safetensors")
    save.check_free(path)
    processes.start()
    weights = finished_run.weights(finished_run.load(run))
    named, title = save.arrays(weights, format=FORMAT.value)
    save.write(path, named, {**weights.facts, "names": title})
    size = sum(array.size for array in named.values())
    print(f"{path}: {len(named)} arrays, {size:,} numbers, names of {title}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
