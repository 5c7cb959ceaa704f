"""Lists the commands: python -m jaxseg."""

import ast
import pathlib
import sys

_FOLDER = pathlib.Path(__file__).parent


def commands() -> dict[str, str]:
    """{command: the first sentence of its module}, read from the sources."""
    files = {path.stem: path for path in _FOLDER.glob("*.py") if path.stem[0] != "_"}
    files |= {path.parent.name: path for path in _FOLDER.glob("*/__main__.py")}
    out = {}
    for name, path in sorted(files.items()):
        text = path.read_text("utf-8")
        if '__name__ == "__main__"' in text:
            about = ast.get_docstring(ast.parse(text)) or ""
            first = " ".join(about.split("\n\n")[0].split())
            out[name] = first.partition(":")[0].rstrip(".") + "."
    return out


def main() -> int:
    """Prints every command, and where more is said."""
    if wrong := [word for word in sys.argv[1:] if word not in ("--help", "-h")]:
        print(
            f"jaxseg: {wrong[0]!r} is no option; a command is typed as python -m "
            f"jaxseg.COMMAND, one of {', '.join(commands())}.",
            file=sys.stderr,
        )
        return 2
    for name, about in commands().items():
        print(f"python -m jaxseg.{name:12} {about}")
    print(
        "\n--help of each shows its flags; python -m jaxseg.main --config.help lists "
        "every setting. A first run, on data that it draws itself:\n"
        "python -m jaxseg.main --config=pneumothorax"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
