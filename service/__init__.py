"""HTTP service and gallery page; its routes call the same library functions as the command line.

Importing any part raises OptionalDependencyError while a package of the extra `serve` is missing.
"""

from firstsight.extras import require_packages

# fastapi itself reports a missing python-multipart only when a route with a form is made
require_packages("serve", "the service", ("fastapi", "python_multipart", "prometheus_client", "uvicorn"))
