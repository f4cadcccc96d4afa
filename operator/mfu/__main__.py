"""`python -m mfu`."""

from mfu.cli.main import run

if __name__ == "__main__":
    run()
