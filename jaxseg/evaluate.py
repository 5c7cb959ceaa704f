"""Scores a finished run again: python -m jaxseg.evaluate --run=runs/ptx --split=test.

Any number of devices will do: the counts are the same. The operating point is the one
that was frozen when the run finished; nothing is chosen here. Scores that differ from
those that are there never replace them: they are written beside, in eval_again/.
With a `--name`, `--data_dir` is other data, prepared or a raw folder, whose classes are
those of the run by name: python -m jaxseg.evaluate --run=runs/ptx --data_dir=elsewhere
--name=hospital_b writes eval/hospital_b.json and a section of the report.
With `--masks`, masks that any other tool or person made are scored with the same
metrics, without a run: python -m jaxseg.evaluate --masks=their_masks --data_dir=DATA
--name=nnunet writes --output=nnunet, which python -m jaxseg.report compares with runs.
`--verify=all` compares every stored image and mask with its digest first, not a few of
them. `--cost` scores nothing: it measures latency, images a second and the size of the
weights on this machine, writes eval/cost.json and builds the report again.
"""

import pathlib

from absl import flags, logging

from jaxseg import atomic
from jaxseg.config import command_line
from jaxseg.errors import ConfigError

RUN = flags.DEFINE_string("run", "", "Run directory.")
SPLIT = flags.DEFINE_string(
    "split", None, "Split to score; default test, and all of them of other data."
)
VERIFY = command_line.define_verify()
DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "Where the data lies now, if it moved; with --name, other data."
)
MASKS = flags.DEFINE_string("masks", "", "Folder of masks to score without a run.")
OUTPUT = flags.DEFINE_string(
    "output", "", "Where the scores of --masks go; default a directory of its name."
)
NAME = flags.DEFINE_string("name", "", "What to call scores of other data.")
COST = flags.DEFINE_bool("cost", False, "Measure what a prediction costs here instead.")


def main(argv) -> int:
    logging.set_verbosity(logging.INFO)
    if not RUN.value and not MASKS.value:
        command_line.fail(
            "name the run, for example --run=runs/ptx, or a folder of --masks",
            command_line.BAD_CONFIG,
        )
    from jaxseg.experiment import processes, score_again
    from jaxseg.run_directory import summary

    processes.start()
    if MASKS.value:
        return _score_masks()
    if COST.value:
        return _measure_cost()
    if NAME.value:
        return _score_other_data()
    split = SPLIT.value or "test"
    again = score_again.score_again(
        pathlib.Path(RUN.value),
        split,
        data_dir=DATA_DIR.value,
        verify=VERIFY.value,
    )
    if processes.is_main():
        from jaxseg.report.run import build

        print(summary.score_lines(again.result))
        _print_beside(again)
        if again.folder is not None:
            score_again.check_kept(RUN.value, split)
            build.build(RUN.value)
    return 0


def _print_beside(again) -> None:
    """Says how the scores stand to those that were there, before a report is built."""
    print(_beside(again.same))
    print("".join(f"  {note}\n" for note in again.notes), end="", flush=True)


def _beside(same: str) -> str:
    """How the scores stand to those that were there, in words."""
    if same == "none were":
        return "no scores of this name were there before"
    return f"equal to the scores that were there: {same}"


def _score_masks() -> int:
    """Scores masks that no run made."""
    from jaxseg.experiment import score_masks
    from jaxseg.run_directory import summary

    for flag, wrong, words in (
        ("run", RUN.value, "masks are scored without a run: leave out one of the two"),
        ("data_dir", not DATA_DIR.value, "give the folder of the data they are of"),
        ("name", not NAME.value, "say whose masks they are, such as nnunet"),
    ):
        if wrong:
            raise ConfigError(f"--masks and --{flag}: {words}.")
    output = OUTPUT.value or NAME.value
    atomic.check_folder(pathlib.Path(output).parent)
    result = score_masks.score_masks(
        MASKS.value,
        DATA_DIR.value,
        name=NAME.value,
        output=output,
        split=SPLIT.value or "test",
        verify=VERIFY.value,
    )
    print(summary.score_lines(result))
    print(
        f"in {output}; compare it with runs, or with masks of others: "
        f"python -m jaxseg.report {output} runs/x --output=report"
    )
    return 0


def _score_other_data() -> int:
    """Scores data of elsewhere, and says how far that is from the test set."""
    from jaxseg.experiment import other_data, processes, score_again
    from jaxseg.report import read
    from jaxseg.report.run import build
    from jaxseg.report.run import other_data as page
    from jaxseg.run_directory import summary

    if not DATA_DIR.value:
        raise ConfigError(
            f"--name={NAME.value} names the scores of other data; give its folder, "
            "--data_dir=FOLDER, or leave --name out to score the run's own split."
        )
    again = other_data.score(
        RUN.value,
        DATA_DIR.value,
        name=NAME.value,
        split=SPLIT.value or "all",
        verify=VERIFY.value,
    )
    if processes.is_main():
        print(summary.score_lines(again.result))
        _print_beside(again)
        if again.folder is not None:
            score_again.check_kept(RUN.value, NAME.value)
            build.build(RUN.value)
            run = read.read(RUN.value)
            print("".join(f"{line}\n" for line in page.lines(run, NAME.value)), end="")
            print(f"scores in {again.folder / NAME.value}.json, report in {RUN.value}")
    return 0


def _measure_cost() -> int:
    """Measures, prints and reports what a prediction costs."""
    from jaxseg.experiment import measure_cost
    from jaxseg.report.run import build

    cost = measure_cost.measure_cost(RUN.value)
    build.build(RUN.value)
    print(
        f"one image of {'x'.join(map(str, cost['size']))} on {cost['device']}: "
        f"{cost['latency_ms_p50']:.3g} ms (median), {cost['latency_ms_p95']:.3g} ms "
        f"(95th percentile), {cost['images_per_second']:.3g} images a second; weights "
        f"{cost['weights_mib']:.3g} MiB"
    )
    return 0


if __name__ == "__main__":
    command_line.run(main)
