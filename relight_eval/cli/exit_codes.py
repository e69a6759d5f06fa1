"""What the process ends with: the contract, as numbers and as the words of `--help`."""

OK = 0
RULE_FAILED = 1
COULD_NOT = 2
INCOMPLETE = 3
BUG = 70
INTERRUPTED = 130

HELP = f"""\b
Exit codes:
  {OK}   all is well
  {RULE_FAILED}   a rule failed
  {COULD_NOT}   it could not be done: usage, folder, no pairs, weights
  {INCOMPLETE}   it finished, but some pairs could not be scored or had no partner
  {BUG}  a bug, with its traceback
  {INTERRUPTED} interrupted"""
