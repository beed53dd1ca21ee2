"""The format of packed stores and caches: shards of rows in large plain files, and the manifest of a store."""
