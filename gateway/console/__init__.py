"""The console: the pages that auditors, professionals and operators look at, in French, without JavaScript."""
