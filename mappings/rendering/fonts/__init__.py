"""The typefaces shipped with the package, so that a page looks the same on every machine."""
