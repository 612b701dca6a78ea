"""What a run shows of itself: pictures, films and the arrays behind them."""
