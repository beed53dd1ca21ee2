"""What a report shows of single rows: mistakes, calibration, residuals, masks. One module for each task."""
