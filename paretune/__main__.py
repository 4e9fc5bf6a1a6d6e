"""`python -m paretune` is the `paretune` command."""

from paretune.search.cli.main import run

if __name__ == "__main__":
    run()
