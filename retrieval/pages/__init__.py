"""HTML pages: contact sheet, evaluation report, map."""
