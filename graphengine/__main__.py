"""`python -m graphengine` is the command `graphengine`."""

from graphengine.cli import main

if __name__ == "__main__":
    main()
