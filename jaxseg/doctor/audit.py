"""Runs the checks one by one, and says what their findings mean for a run."""

import functools
from collections.abc import Sequence

from absl import logging
from ml_collections import ConfigDict

from jaxseg.config import doctor_checks
from jaxseg.devices import sharding
from jaxseg.doctor import (
    border,
    data,
    feeding,
    images,
    model,
    plan,
    probe,
    scale,
)
from jaxseg.doctor.case import ERROR, WARNING, Case, Finding
from jaxseg.errors import ConfigError, DataError
from jaxseg.experiment import build

_FAMILIES = (data, images, border, scale, plan, feeding, model)


def find(name: str):
    """The function of a check: case -> Finding."""
    return next(getattr(m, name) for m in _FAMILIES if hasattr(m, name))


def quick_case(config: ConfigDict, experiment: build.Experiment) -> Case:
    """The case of the fast part: nothing costly in it."""
    return Case(config, experiment, doctor_checks.options(config))


def full_case(
    config: ConfigDict, experiment: build.Experiment, *, show: bool = True
) -> Case:
    """A case whose costly parts are made when first asked for, and kept."""
    cache = functools.cache
    return quick_case(config, experiment)._replace(
        scan=cache(functools.partial(images.scan, experiment, show=show)),
        stages=cache(functools.partial(probe.stages, experiment)),
        trained=cache(functools.partial(model.first_steps, config, experiment)),
        example=cache(functools.partial(model.example, experiment)),
    )


def run(case: Case, names: Sequence[str]) -> list[Finding]:
    """The findings of the checks, in order; what stops a check is its finding."""
    findings = []
    for name in names:
        if name in doctor_checks.OF_PIXELS and not case.experiment.scorer.pixels:
            findings.append(Finding("ok", "no pixel is learned or scored", name=name))
            continue
        try:
            finding = find(name)(case)
        except (ConfigError, DataError) as error:
            finding = Finding(
                ERROR,
                "could not be done: " + " ".join(str(error).split()),
                "training would stop for the same reason",
                "mend what the message names",
            )
        findings.append(finding._replace(name=name))
    return findings


def stopping(case: Case, findings: Sequence[Finding]) -> list[Finding]:
    """The errors that config.doctor.ignore does not name."""
    ignored = case.options["ignore"]
    return [f for f in findings if f.level == ERROR and f.name not in ignored]


def exit_code(errors: Sequence[Finding]) -> int:
    """0 without errors, 3 when one is of the data, else 2."""
    if any(f.name in doctor_checks.OF_DATA for f in errors):
        return DataError.exit_code
    return ConfigError.exit_code if errors else 0


def fast(config: ConfigDict, experiment: build.Experiment) -> None:
    """The fast part, at the start of a training: logs warnings, raises for errors.

    DataError when one error is of the data, else ConfigError; on every process when
    on one.
    """
    case = quick_case(config, experiment)
    findings = run(case, doctor_checks.FAST)
    errors = stopping(case, findings)
    for finding in findings:
        if finding.level != "ok" and finding not in errors:
            label = "error, ignored" if finding.level == ERROR else WARNING
            logging.warning("doctor (%s) %s", label, _line(finding))
    if sharding.any_process(bool(errors)):
        kind = DataError if exit_code(errors) == DataError.exit_code else ConfigError
        if not errors:
            raise kind("doctor found an error on another process, which says what.")
        lines = [_line(finding) for finding in errors]
        names = ", ".join(repr(finding.name) for finding in errors)
        raise kind(
            "doctor: " + "\n  ".join(lines) + "\n  The whole page: python -m "
            "jaxseg.doctor with the same --config; to train all the same, name the "
            f"check in config.doctor.ignore: ({names},)."
        )
    logging.info("doctor: %d quick checks done", len(findings))


def _line(finding: Finding) -> str:
    return f"{finding.name}: {finding.observed}; {finding.why}. Mend: {finding.fix}."
