"""Examines data, config and pipeline before a training:

    python -m jaxseg.doctor --config=RECIPE[:variant]

prints a page of findings, each with the reason and the fix. `--deep` also sees whether
the model can learn one batch by heart; `--output=DIR` keeps the page as doctor.md with
pictures of what augmentation does; `--verify=all` compares every stored image and mask
with its digest, not a few of them. Exit codes: 0 nothing that stops a training, 2 the
config does, 3 the data does.
"""

import pathlib
import shlex
import sys

from absl import flags, logging

from jaxseg.config import check, command_line, doctor_checks, limits
from jaxseg.errors import ConfigError
from jaxseg.run_directory import older_configs

CONFIG = command_line.define_config()
DEEP = flags.DEFINE_bool("deep", False, "Also learn one batch by heart.")
VERIFY = command_line.define_verify()
OUTPUT = flags.DEFINE_string("output", "", "Folder for doctor.md and pictures.")


def main(argv) -> int:
    config = CONFIG.value and older_configs.complete(CONFIG.value)
    check.check(config)
    logging.set_verbosity(logging.WARNING)
    for line in limits.without_effect(config, command_line.overrides(sys.argv)):
        logging.warning("%s", line)
    # JAX is imported only now: a typing error is answered without it
    import jax

    from jaxseg.doctor import audit, page, pictures
    from jaxseg.experiment import build, processes, self_configuration, training_plan

    folder = pathlib.Path(OUTPUT.value)
    if OUTPUT.value:
        pictures.check_free(folder)
    processes.start()
    if jax.process_count() > 1:
        raise ConfigError("doctor reads every image itself: start it in one process.")
    config = self_configuration.resolve(config)
    check.check(config)
    experiment = build.load(
        config, batch_size=training_plan.batch_size(config), verify=VERIFY.value
    )
    case = audit.full_case(config, experiment)
    findings = audit.run(
        case,
        doctor_checks.ALL if DEEP.value else doctor_checks.FAST + doctor_checks.FULL,
    )
    errors = audit.stopping(case, findings)
    print(page.text(case, findings, errors))
    if not errors:
        print(f"Next: python -m jaxseg.main {' '.join(_config_words(sys.argv))}")
    if OUTPUT.value:
        written = page.markdown(case, findings, errors, pictures.CAPTIONS)
        pictures.write(folder, case, written)
        print(f"page and pictures: {folder / pictures.PAGE}")
    return audit.exit_code(errors)


def _config_words(argv) -> list[str]:
    """The words of the command line that make the config, for a shell."""
    words = [k for k, word in enumerate(argv) if word.lstrip("-").startswith("config")]
    words += [k + 1 for k in words if "=" not in argv[k]]
    return [shlex.quote(argv[k]) for k in sorted(words)]


if __name__ == "__main__":
    command_line.run(main)
