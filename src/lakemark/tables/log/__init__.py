"""The log of a table and the files that it names: manifests, history, features, what was removed."""
