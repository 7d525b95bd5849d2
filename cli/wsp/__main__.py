"""`python -m wsp`."""

from wsp.main import main

if __name__ == "__main__":
    main()
