"""Rankings of items for a query: candidates, filters, full text, fusion, diversity."""
