"""Text for people: tables of a package's layers and costs."""
