"""Windows of consecutive rows of long arrays and of recordings: `bitesize.timeseries`."""
