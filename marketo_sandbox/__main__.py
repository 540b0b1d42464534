"""`python -m marketo_sandbox`."""

from __future__ import annotations

import argparse
import sys

from .cli import add_arguments, main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m marketo_sandbox",
        description="A local, stateful stand-in for Marketo, for trying and testing.",
    )
    add_arguments(parser)
    sys.exit(main(parser.parse_args()))
