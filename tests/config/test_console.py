"""The log is plain, and --verbosity brings everything back."""

import subprocess
import sys

from support import runs

SAY = (
    "import logging as python\n"
    "from absl import flags, logging\n"
    "from jaxseg.config import command_line, console\n"
    "def main(argv):\n"
    "    console.verbosity(logging.INFO)\n"
    "    logging.info('%d images', 3)\n"
    "    logging.warning('too few')\n"
    "    other = python.getLogger('jax._src.xla_bridge')\n"
    "    other.setLevel('INFO')\n"
    "    other.info('Unable to initialize backend tpu')\n"
    "    other.warning('an old driver')\n"
    "command_line.run(main)\n"
)


def _lines(*flags) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SAY, *flags],
        capture_output=True,
        text=True,
        cwd=runs.ROOT,
        check=True,
    )
    return done.stderr.splitlines()


def test_lines_have_no_prefix_and_other_libraries_only_warn():
    assert _lines() == ["3 images", "warning: too few", "warning: an old driver"]


def test_verbosity_brings_prefixes_and_others_back():
    lines = _lines("--verbosity=0")
    assert len(lines) == 4 and lines[0].endswith("] 3 images")
    assert any("Unable to initialize" in line for line in lines)
