"""A search on several processes and machines at once, which Dask starts and finds."""
