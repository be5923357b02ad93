"""`python -m synthgen`: the command line, where no console script is on the path."""

from synthgen.cli import main

if __name__ == "__main__":
    main()
