"""What people see, as values: no terminal, no HTML. Commands print them and the page draws them."""
