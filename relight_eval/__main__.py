"""`python -m relight_eval` and `relight-eval`: the command line, and what Ctrl-C does until it is there."""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130  # as cli.exit_codes has it, which would import the whole command line


def stop(*_: object) -> None:
    """Ctrl-C where there is nothing to tidy up."""
    os.write(2, b"relight-eval: interrupted\n")
    os._exit(INTERRUPTED)


def main() -> None:
    """Run the command line; its imports take a tenth of a second, in which Ctrl-C would show a traceback.

    (And some later imports swallow a KeyboardInterrupt.)
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell has it for what runs in the background
            signal.signal(number, stop)
    from relight_eval.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
