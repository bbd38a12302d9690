"""`python -m sgdb`, and the console script."""

from sgdb.cli import main

if __name__ == "__main__":
    main()
