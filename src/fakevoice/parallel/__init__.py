"""Work on several cores and machines: a function and a list of items → results in the order of the items.

- `pool`: processes of this machine (joblib); `watchdog`: detects worker processes that hang
- `dask_engine`: workers of a Dask cluster
- `torchrun`: training of one fold by several processes
"""
