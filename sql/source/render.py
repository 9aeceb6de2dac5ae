"""Writes sql/procedures.sql, in which MySQL wants every procedure whole, from what is said once: `.venv/bin/python sql/source/render.py`.

A line `@begin NAME, …` stands for the head that all have, with further parameters; `@rows` for which rows are asked, of a table by that name.
"""

import re
from pathlib import Path

HERE = Path(__file__).parent


def render() -> str:
    """The script as `mysql` takes it."""
    head, rows = ((HERE / f"{name}.sql").read_text() for name in ("head", "rows"))

    def begin(found: re.Match[str]) -> str:
        further = f",\n    {found[2]}" if found[2] else ""
        return head.replace("@name", found[1]).replace("@further", further)

    def asked(found: re.Match[str]) -> str:
        lines = rows.replace("@table", found[2] or "").splitlines(keepends=True)
        return "".join(found[1] + line for line in lines).rstrip("\n")

    text = re.sub(r"^@begin (\w+)(?:, (.*))?\n", begin, (HERE / "procedures.sql").read_text(), flags=re.MULTILINE)
    return re.sub(r"^( *)@rows(?: (\w+\.))?", asked, text, flags=re.MULTILINE)


if __name__ == "__main__":
    (HERE.parent / "procedures.sql").write_text(render())
