"""`nextstate bench recorder`: what it costs to tell of another model's turns, and to hear of them."""
