"""Pictures and videos within limits: fetched, decoded in child processes, sampled; knows no model and no database."""
