"""`python train.py ...` is `zoo train ...`: see zoo/commands/train.py."""

import sys

from zoo.commands import train
from zoo.commands.runner import run_command

if __name__ == "__main__":
    run_command(train, sys.argv[1:])
