"""Run the synthgen command line from a checkout."""

from synthgen.cli import main

if __name__ == "__main__":
    main()
