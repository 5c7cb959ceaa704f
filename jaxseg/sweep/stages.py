"""Trains the two stages of a run one after the other, then scores them as one."""

import contextlib
import pathlib
import shlex
import sys

from absl import logging
from ml_collections import ConfigDict

from jaxseg.config import check, command_line, recipe_file
from jaxseg.data import prepared
from jaxseg.errors import ConfigError
from jaxseg.experiment import from_config, processes, two_stage
from jaxseg.report.run import build
from jaxseg.run_directory import files, older_configs, seal, summary
from jaxseg.run_directory.two_stage_schemas import CLASSIFY, SEGMENT
from jaxseg.sweep import members, run_members


def main(config: ConfigDict, workdir: pathlib.Path) -> int:
    """Trains what is not finished below `workdir`, joins it, and reports; exit code.

    `config` has its references. Each stage is a run directory of its own. Raises
    ConfigError for a workdir that holds another run, and what `two_stage.join` does.
    """
    path = recipe_file.find(command_line.config_value(sys.argv))
    configs = members.members(config, members.stages(config, path))
    for member in configs.values():
        check.check(member)
    with contextlib.ExitStack() as stack:
        if processes.is_main():
            stack.enter_context(files.lock(workdir))
        if _is_joined(config, workdir):
            logging.info("%s is finished; its report is there.", workdir)
            return 0
        # a wrong name is said now, not when both are trained
        directory = from_config.dataset(configs[SEGMENT])
        two_stage.classes(config, prepared.open_split(directory, "validation"))
        if failed := run_members.here(configs, workdir, at_most=1):
            stage, why = next(iter(failed.items()))
            raise ConfigError(f"the stage {stage!r} failed: {why}")
        record = two_stage.join(config, workdir)
    if processes.is_main():
        print(summary.of_run(record, workdir, build.build(workdir)))
    return 0


def _is_joined(config: ConfigDict, workdir: pathlib.Path) -> bool:
    """Whether these stages are; ConfigError where another run lies in their place."""
    written = workdir / files.CONFIG
    if not (workdir / files.RUN).is_file():
        if (workdir / files.TWO_STAGE).is_file():  # killed while they were joined
            written.unlink(missing_ok=True)
        return False
    seal.read(workdir)
    before, now = (
        older_configs.effective(one)
        for one in (files.read_json(written), files.plain(config.to_dict()))
    )
    if differences := files.config_diff(before, now):
        raise ConfigError(
            f"{workdir} holds a run with another config: {'; '.join(differences[:3])}. "
            "Two stages that are joined do not go on: choose another workdir, which "
            "trains both with this config, or begin a run of one stage with what it "
            f"learned, by --config={_typed(workdir / SEGMENT / files.CONFIG)} "
            f"--config.parent={_typed(workdir / SEGMENT)} --workdir=ANOTHER and the "
            f"settings that change (of the other stage with {CLASSIFY} for {SEGMENT})."
        )
    return True


def _typed(path: pathlib.Path) -> str:
    return shlex.quote(str(path))
