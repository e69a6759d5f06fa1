"""`python -m relight_eval`: the command line."""

from relight_eval.cli import main

if __name__ == "__main__":
    main()
