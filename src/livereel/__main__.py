"""`python -m livereel` is the `livereel` command."""

from livereel.cli.main import main

if __name__ == "__main__":
    main()
