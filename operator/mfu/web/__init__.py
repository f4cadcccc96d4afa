"""The read-only page: show's values as HTML, served to those whom the API server lets see them."""
