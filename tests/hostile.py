"""Names that no output may be taken in by: a file system lets anything through but `/` and NUL."""

from __future__ import annotations

import os

LATIN = os.fsdecode(b"caf\xe9")  # not UTF-8

NAMES = (
    # lines, cells, and what a terminal obeys
    *("line\nend", "tab\tstop", "\ttab", "carriage\rreturn", "\x1b[2J\x1b[31mred", "\x9b31m", "bell\x07", "del\x7f"),
    *("\x1b]8;;http:a.b\x07link\x1b]8;;\x07", "rtl\u202egnp", "no\u200bwidth", "\ufeffmark", "\u2028line", "\u2066x"),
    # letters
    *("emoji 😀👩\u200d👧", "\u00e9", "e\u0301", "Case", "case", LATIN, "\uffff", "  spaces  "),
    # markup
    *("<script>alert(1)", "<!--", "]]>", "a&b&amp;", "\"q\" 'q'", "a|b`c`", "[x](y)", "*b* _i_", "{{7*7}}", "{% x %}"),
    *("[red]x", ":smile:", "#12", "@octocat", "$x$", "&#64;"),
    # commands
    *("%0A::error::x", "::error::x", "::stop-commands::t", "##[error]x", "##vso[task.x]y", "[[ATTACHMENT|x]]"),
    *("$(id)", "`id`", "%s%n%d", "=1+1", "+1", "-1", "@a", "＝1", "a;=1", "'=1"),
    # paths, options, programs
    *("x" * 200, "a..", "-", "--", "-rf", "CON", "aux", "a.png", "12345", "0", "~", "a\\b", "C:\\x", "\\\\host\\x"),
    *("__proto__", "constructor", "toString", "hasOwnProperty"),
)
