"""Where bytes and rows live: the object store and the metadata database."""
