"""HTTP service and gallery page; its routes call the same library functions as the command line."""
