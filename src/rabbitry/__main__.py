"""`python -m rabbitry`: the same as the command `rabbitry`."""

from rabbitry.cli import main

if __name__ == "__main__":
    main()
