# The table of docs/fields.md, for scripts that look up whether it has every field of a client.
import pathlib


def check_fields(endpoint, names):
    """The table has these fields of a request."""
    page = pathlib.Path(__file__).parent.parent.joinpath("docs/fields.md").read_text()
    section = page.split(f"\n### {endpoint}\n", 1)[1].split("\n#", 1)[0]
    known = {line.split("`")[1] for line in section.splitlines() if line.startswith("| `")}
    missing = sorted(set(names) - known)
    assert known and not missing, f"docs/fields.md lacks {missing} of {endpoint}"
