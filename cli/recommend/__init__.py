"""Commands that recommend, and the events and models behind them."""
