"""`nextstate import`: old conversations become events, once each."""
